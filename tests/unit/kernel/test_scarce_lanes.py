"""Lanes on a machine that is short of descriptors or threads, for a while."""

import asyncio
import os
import threading

import pytest

from maestro_actors.kernel import AsyncLane, Bell, Lane, LaneActor, ThreadLane
from procfs import descriptors
from scarce import descriptors_left, no_thread

BOUND_SECONDS = 20.0

LOOP_DESCRIPTORS = 3
"""Of a loop without a bell: the poll, and a pair of sockets."""


class Echo(LaneActor):
    def on_receive(self, message: object) -> object:
        return message() if callable(message) else message


def _echo(lane: Lane) -> type[Echo]:
    return type("Echo", (Echo,), {"lane": lane})


def test_a_lane_that_got_no_bell_begins_with_the_next_actor() -> None:
    lane = AsyncLane("scarce")
    before = descriptors(os.getpid())

    with descriptors_left(LOOP_DESCRIPTORS), pytest.raises(OSError, match="Too many open files"):
        _echo(lane).start()
    left = descriptors(os.getpid())

    assert left == before
    assert _echo(lane).start().ask(1, timeout=BOUND_SECONDS) == 1
    lane.close()


@pytest.mark.parametrize("kind", [AsyncLane, ThreadLane])
def test_a_lane_that_got_no_thread_begins_with_the_next_actor(
    kind: type[AsyncLane | ThreadLane],
) -> None:
    lane = kind("scarce")
    before = descriptors(os.getpid())

    with no_thread("scarce"), pytest.raises(RuntimeError, match="can't start new thread"):
        _echo(lane).start()
    left = descriptors(os.getpid())

    assert left == before
    assert _echo(lane).start().ask(1, timeout=BOUND_SECONDS) == 1
    lane.close()


@pytest.mark.parametrize("kind", [AsyncLane, ThreadLane])
def test_a_lane_that_got_no_thread_is_closed_like_any_other(
    kind: type[AsyncLane | ThreadLane],
) -> None:
    lane = kind("scarce")
    with no_thread("scarce"), pytest.raises(RuntimeError):
        _echo(lane).start()

    lane.close()


def test_a_lane_does_with_the_threads_it_got() -> None:
    lane = ThreadLane("scarce", threads=2)

    with no_thread("scarce-2"):
        alone = {
            _echo(lane).start().ask(lambda: threading.current_thread().name, timeout=BOUND_SECONDS)
            for _ in range(9)
        }
    _echo(lane).start().ask(1, timeout=BOUND_SECONDS)

    assert alone == {"scarce-1"}
    assert "scarce-2" in {thread.name for thread in threading.enumerate()}
    lane.close()


def test_a_wait_that_got_no_spare_thread_does_not_count_as_one() -> None:
    lane = ThreadLane("scarce")
    asked = _echo(lane).start()
    asker = _echo(lane).start()

    def ask_in_vain() -> str:
        try:
            asked.ask(1)
        except RuntimeError as error:
            return str(error)
        return "answered"

    with no_thread("scarce-2"):
        found = asker.ask(ask_in_vain, timeout=BOUND_SECONDS)
    # Were the wait still counted, a second thread would be at work from now on.
    again = asker.ask(lambda: 2, timeout=BOUND_SECONDS)

    assert (found, again) == ("can't start new thread", 2)
    assert lane._blocked == 0
    lane.close()


def test_a_bell_that_cannot_be_hung_leaves_no_descriptor() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    before = descriptors(os.getpid())

    with pytest.raises(RuntimeError, match="closed"):
        Bell(loop, lambda: None)

    assert descriptors(os.getpid()) == before
