"""A bell wakes its loop once for all that has gathered, and nobody once it is closed."""

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from maestro_actors.kernel import Bell

BOUND_SECONDS = 20.0


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def test_a_ring_of_another_thread_wakes_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    bell = Bell(loop, loop.stop)
    serving = threading.Thread(target=loop.run_forever, daemon=True)
    serving.start()

    bell.ring()

    serving.join(BOUND_SECONDS)
    assert not serving.is_alive()
    loop.close()
    bell.close()


def test_a_bell_is_answered_once_for_all_that_has_gathered(
    loop: asyncio.AbstractEventLoop,
) -> None:
    answers: list[None] = []
    bell = Bell(loop, lambda: answers.append(None))
    for _ in range(3):
        bell.ring()

    loop.run_until_complete(asyncio.sleep(0))
    bell.ring()
    loop.run_until_complete(asyncio.sleep(0))

    loop.close()
    bell.close()
    assert len(answers) == 2


def test_a_bell_that_is_closed_rings_nobody_else(loop: asyncio.AbstractEventLoop) -> None:
    bell = Bell(loop, lambda: None)
    loop.close()
    bell.close()
    # It gets the number of the descriptor that has become free.
    other = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    bell.ring()

    with pytest.raises(BlockingIOError):
        os.eventfd_read(other)
    os.close(other)
