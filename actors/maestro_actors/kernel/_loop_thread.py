"""The thread of an event loop that is woken by a bell."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from maestro_actors.kernel._bell import Bell

if TYPE_CHECKING:
    from collections.abc import Callable


class LoopThread(NamedTuple):
    """A loop, what wakes it, and the thread that serves it."""

    loop: asyncio.AbstractEventLoop
    bell: Bell
    thread: threading.Thread


def start_loop(
    name: str,
    answer: Callable[[], None],
    serve: Callable[[asyncio.AbstractEventLoop, Bell], None],
) -> LoopThread:
    """Start a new loop on a thread of its own, which does not keep the process alive.

    Args:
        name: Of the thread.
        answer: What the loop calls when it is rung.
        serve: The body of the thread; at its end it closes the loop, then the bell.

    Raises:
        OSError: There are too few descriptors; none is left open.
        RuntimeError: There is no memory for the thread; as above.
    """
    with ExitStack() as failed:
        loop = asyncio.new_event_loop()
        failed.callback(loop.close)
        bell = Bell(loop, answer)
        failed.callback(bell.close)
        thread = threading.Thread(target=serve, args=(loop, bell), name=name, daemon=True)
        thread.start()
        failed.pop_all()
    return LoopThread(loop, bell, thread)
