"""`maestro-runtime doctor`: is this installation sound?"""

import sys
from typing import Any

import click

from maestro_runtime.cli._options import json_option, state_dir_option


@click.command("doctor", epilog="Example: maestro-runtime doctor --state-dir ./state")
@state_dir_option
@json_option
def command(state_dir: str | None, **options: Any) -> None:
    """Check whether this machine can keep state safely, and how it is kept. Writes nothing.

    Looks at versions, permissions, file system, room, limits and clock; at the records and how full
    they are; at the daemon, if one runs, and its crashes; at what the sessions under way need.
    Exits 3 if something is in the way, 9 if records are damaged.
    """
    import os

    from maestro_runtime.cli._findings import print_findings
    from maestro_runtime.cli._installation import examine_installation
    from maestro_runtime.cli._machine import examine_machine
    from maestro_runtime.config.daemon import DaemonFlags, resolve_daemon

    settings = resolve_daemon(DaemonFlags(state_dir=state_dir), os.environ)
    findings = [*examine_machine(settings.state_dir.value), *examine_installation(settings)]
    sys.exit(print_findings(findings, as_json=options["as_json"]))
