"""`maestro-runtime version`."""

import platform
from importlib.metadata import version
from typing import Any

import click

from maestro_runtime import __version__
from maestro_runtime.cli._options import json_option
from maestro_runtime.cli._output import print_json, print_table


@click.command("version", epilog="Example: maestro-runtime version --json")
@json_option
def command(**options: Any) -> None:
    """Print the versions of the runtime and of what it stands on."""
    versions = {
        "maestro-runtime": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("pykka", "msgspec", "lmdb", "structlog", "click")},
    }
    if options["as_json"]:
        print_json({"schema": "maestro.version/1", "versions": versions})
        return
    print_table(("NAME", "VERSION"), list(versions.items()))
