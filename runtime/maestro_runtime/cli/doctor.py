"""`maestro-runtime doctor`: can this machine keep state safely?"""

import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._options import json_option, state_dir_option, state_path
from maestro_runtime.cli._output import print_json, print_table

ROOM_BYTES_MIN = 256 << 20
"""Free space below which the disk is called nearly full."""
FILES_MIN = 1024
"""Open files a run with many command engines may need."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    verdict: Literal["ok", "warning", "failed"]
    detail: str


@click.command("doctor", epilog="Example: maestro-runtime doctor --state-dir ./state")
@state_dir_option
@json_option
def command(state_dir: str | None, **options: Any) -> None:
    """Check whether this machine can keep state safely; exits 3 if not. Writes nothing.

    Looks at versions, permissions, file system, room and limits.
    """
    path = state_path(state_dir)
    findings = [*_versions(), *_directory(path), *_limits()]
    if options["as_json"]:
        print_json({"schema": "maestro.doctor/1", "findings": findings})
    else:
        print_table(
            ("CHECK", "VERDICT", "DETAIL"),
            [(finding.check, finding.verdict, finding.detail) for finding in findings],
        )
    failed = any(finding.verdict == "failed" for finding in findings)
    sys.exit(ExitCode.CANNOT_START if failed else ExitCode.DONE)


def _versions() -> Iterator[Finding]:
    import lmdb

    yield Finding("python", "ok", platform.python_version())
    version = lmdb.version(subpatch=True)
    text = ".".join(map(str, version[:3]))
    if version[3]:
        yield Finding("lmdb", "ok", f"{text}, hardened build")
    else:
        yield Finding("lmdb", "warning", f"{text} without the hardening of the Python package")


def _directory(path: Path) -> Iterator[Finding]:
    from maestro_storage import network_kind

    # Path.exists would raise where a parent may not be searched.
    existing = next(parent for parent in (path, *path.parents) if os.path.exists(parent))  # noqa: PTH110 - see above
    if not existing.is_dir():
        yield Finding("state directory", "failed", f"{existing} is not a directory")
    elif os.access(existing, os.W_OK | os.X_OK):
        detail = str(path) if existing == path else f"{path} can be created in {existing}"
        yield Finding("state directory", "ok", detail)
    else:
        detail = f"{existing} is not writable; set MAESTRO_STATE_DIR or --state-dir"
        yield Finding("state directory", "failed", detail)
    kind = network_kind(os.path.realpath(existing), Path("/proc/self/mountinfo").read_text())
    if kind is None:
        yield Finding("file system", "ok", "local")
    else:
        yield Finding("file system", "failed", f"{kind} is a network file system")
    free_bytes = shutil.disk_usage(existing).free
    verdict: Literal["ok", "warning"] = "ok" if free_bytes >= ROOM_BYTES_MIN else "warning"
    yield Finding("free space", verdict, f"{free_bytes >> 20} MiB")


def _limits() -> Iterator[Finding]:
    from maestro_storage import StoreOptions

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Finding("open files", "ok" if files >= FILES_MIN else "warning", str(files))
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    map_bytes = StoreOptions().map_bytes
    if space != resource.RLIM_INFINITY and space < map_bytes:
        detail = f"limited to {space >> 20} MiB, the store maps {map_bytes >> 20} MiB"
        yield Finding("address space", "failed", detail)
    else:
        yield Finding("address space", "ok", "enough for the store")
