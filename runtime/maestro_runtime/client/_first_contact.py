"""The first connection to a daemon, which may be on its way: started, or started anew."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from maestro_runtime.client._patience import Patience
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_storage import require_unowned
from maestro_storage.errors import StateOwned

T = TypeVar("T")

_PASSING: Final = (ConnectionError, FileNotFoundError, BlockingIOError, TimeoutError, type(None))
"""What keeps a daemon from answering for a while; None: it closed the connection."""


def first_contact(
    connect: Callable[[], T], is_awaited: Callable[[DaemonUnreachable], bool], patience: Patience
) -> T:
    """Return what `connect` does, tried again while somebody is awaited who does not answer yet.

    Args:
        connect: Raises DaemonUnreachable if nobody answers.
        is_awaited: Whether somebody is about to answer, by why nobody has.
        patience: Of `coming_seconds`.

    Raises:
        DaemonUnreachable: Nobody is awaited, or has come in time.
        WireError: What else `connect` raises.
    """
    never = threading.Event()
    # They are over after their time, of which a try takes seconds where a process stands still.
    pauses = patience.pauses(patience.coming_seconds)
    while True:
        try:
            return connect()
        except DaemonUnreachable as gone:
            pause_seconds = next(pauses, None)
            if pause_seconds is None or not is_awaited(gone):
                raise
        patience.wait(never, pause_seconds)


def is_coming(path: Path, gone: DaemonUnreachable) -> bool:
    """Whether somebody seems to be about to answer at a socket where nobody has.

    Args:
        path: Of the socket. It may lie in a state that somebody owns, who says whether he is worth
            waiting for. One that is there and refuses is that of a daemon that was killed, or has
            not begun to listen.
        gone: Why nobody has answered.
    """
    if not isinstance(gone.__cause__, _PASSING):
        return False
    try:
        require_unowned(path.parent)
    except StateOwned as owned:
        return not owned.is_silent
    return path.is_socket()
