"""Findings about the machine: can it keep state safely?"""

import ctypes
import os
import platform
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from maestro_runtime.cli._findings import Finding, Verdict

ROOM_BYTES_MIN: Final = 256 << 20
"""Free space below which the disk is called nearly full."""
FILES_MIN: Final = 1024
"""Open files a run with many command engines may need."""

TIMEX_BYTES: Final = 512
"""Room for the kernel's struct timex, which has about 200 bytes."""

TIME_ERROR: Final = 5
"""What adjtimex(2) returns for a clock that is not synchronised."""


def examine_machine(state_dir: Path) -> Iterator[Finding]:
    """Look at versions, the place of the state, limits and the clock. Writes nothing."""
    yield from _versions()
    yield from _directory(state_dir)
    yield from _limits()
    yield _clock()


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
    if existing == path and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        detail = f"mode {mode:04o} lets others in; it should be 0700"
        yield Finding("permissions", "warning", detail)
    kind = network_kind(os.path.realpath(existing), Path("/proc/self/mountinfo").read_text())
    if kind is None:
        yield Finding("file system", "ok", "local")
    else:
        yield Finding("file system", "failed", f"{kind} is a network file system")
    free_bytes = shutil.disk_usage(existing).free
    verdict: Verdict = "ok" if free_bytes >= ROOM_BYTES_MIN else "warning"
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


def _clock() -> Finding:
    # With all modes zero it only reads.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state < 0:
        return Finding("clock", "ok", "whether it is synchronised cannot be told")
    if state == TIME_ERROR:
        return Finding("clock", "warning", "not synchronised: deadlines may jump")
    return Finding("clock", "ok", "synchronised")
