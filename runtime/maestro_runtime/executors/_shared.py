"""One runtime for each state directory in this process: whoever needs one gets the same.

If a daemon has the directory, that is a client of it.
"""

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401 - registers its end now, which comes after ours
import contextlib
import functools
import os
import threading
from pathlib import Path
from typing import Final

from maestro_runtime.client import Client, connect
from maestro_runtime.client._client import SOCKET_VARIABLE
from maestro_runtime.config import Flags, resolve_settings
from maestro_runtime.config.tickets import resolve_ticket_settings
from maestro_runtime.daemon import reachable
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.runtime import Runtime
from maestro_runtime.session import Session, SessionOrder
from maestro_runtime.tickets import configured_sink
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.line import SOCKET_NAME
from maestro_storage.errors import StateOwned

_lock: Final = threading.Lock()
_runtimes: Final[dict[tuple[int, Path], tuple[Runtime | Client, contextlib.ExitStack]]] = {}
"""Each with what ends it, by directory, and by process: a forked child must leave those of its
parent alone."""


def resolved_state_dir(state_dir: Path | str | None = None) -> Path:
    """Return the absolute state directory: the given one, else as the command line finds it.

    Raises:
        SettingInvalid: `MAESTRO_STATE_DIR` does not name a directory.
    """
    flag = None if state_dir is None else os.fspath(state_dir)
    # Two spellings of a directory are one directory, and it has one owner.
    return resolve_settings(Flags(state_dir=flag), os.environ).state_dir.value.resolve()


def shared_runtime(state_dir: Path | str | None = None) -> Runtime | Client:
    """Return the runtime of a state directory, opened at the first call. Any thread; blocks.

    It stays open, and the directory owned, until `close_shared_runtimes` or the end of the main
    thread, also if its store has failed: only another start verifies it. Tickets go where the
    environment says. If a daemon has the directory, this is a client of it, which stays connected
    as long: then tickets go where the daemon's environment says.

    Args:
        state_dir: None: `MAESTRO_STATE_DIR`, else `/var/maestro/state`.

    Raises:
        SettingInvalid: The environment is wrong.
        StateOwned: Another process owns the directory, and runs only its own sessions.
        ProtocolMismatch, PeerRefused: As `connect`.
        StateNotWritable, StateDamaged, StateTooNew: As `open_runtime`.
    """
    path = resolved_state_dir(state_dir)
    place = os.getpid(), path
    with _lock:
        if place not in _runtimes:
            _close_at_exit()
            try:
                _runtimes[place] = _opened(path)
            except StateOwned as owned:
                _runtimes[place] = _connected(path, owned)
        return _runtimes[place][0]


def _opened(path: Path) -> tuple[Runtime, contextlib.ExitStack]:
    tickets = configured_sink(resolve_ticket_settings(os.environ), path)
    with contextlib.ExitStack() as opened:
        runtime = opened.enter_context(Runtime(path, RuntimeOptions(tickets=tickets)))
        opened.enter_context(reachable(runtime))
        return runtime, opened.pop_all()


def _connected(path: Path, owned: StateOwned) -> tuple[Client, contextlib.ExitStack]:
    """Connect to the daemon that has a directory, if it is one."""
    named = os.environ.get(SOCKET_VARIABLE)
    sockets = [path / SOCKET_NAME, *([Path(named)] if named else [])]
    for socket in sockets:
        with contextlib.ExitStack() as opened:
            try:
                client = opened.enter_context(connect(socket))
            except DaemonUnreachable:
                continue
            # What the environment names may be the daemon of another directory.
            served = Path(client.custodian.info().get().path).resolve()
            if client.welcome.hosts and served == path:
                return client, opened.pop_all()
    raise owned


async def started(order: SessionOrder, state_dir: Path | str | None) -> Session:
    """Start or take up a session; raises as `shared_runtime` and `Runtime.run`."""
    # Both wait for the disk, which the caller's loop must not.
    runtime = await asyncio.to_thread(shared_runtime, state_dir)
    return await asyncio.to_thread(runtime.run, order)


def close_shared_runtimes() -> None:
    """Close all of them: what runs is interrupted, and can be resumed. The next use opens anew."""
    # A stack, so that one that cannot be closed in order does not keep the others open.
    with _lock, contextlib.ExitStack() as closing:
        for place in [place for place in _runtimes if place[0] == os.getpid()]:
            closing.callback(_runtimes.pop(place)[1].close)


@functools.cache
def _close_at_exit() -> None:
    # On first use, not at import: a hook cannot be taken back. Engines end with the help of
    # threads, and when `atexit` calls, no thread can be started any more; this comes before, the
    # last one registered first.
    register = getattr(threading, "_register_atexit", atexit.register)
    register(close_shared_runtimes)
