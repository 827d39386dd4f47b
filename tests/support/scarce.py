"""A machine that is short of something, for a while."""

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from procfs import descriptors

ROOM: Final = 64
"""How many more descriptors than it has the process may open while few are left."""


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Leave this process `count` descriptors to open, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors(os.getpid()) + ROOM, hard))
    try:
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            for _ in range(count):
                os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


@contextmanager
def no_thread(named: str) -> Iterator[None]:
    """Have no memory for threads whose names begin with `named`."""
    start: Callable[[threading.Thread], None] = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith(named):
            raise RuntimeError("can't start new thread")
        start(thread)

    with pytest.MonkeyPatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", refused)
        yield
