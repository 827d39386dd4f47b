import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from maestro_actors.kernel import AsyncLane, BlockingOnLoop, DeadlockError, LaneActor, LaneFuture


class Echo(LaneActor):
    def on_receive(self, message: Any) -> Any:
        return message


def test_callback_added_before_the_value_runs_when_it_is_set() -> None:
    future: LaneFuture[int] = LaneFuture()
    seen: list[LaneFuture[Any]] = []
    future.add_done_callback(seen.append)

    assert seen == []
    future.set(1)

    assert seen == [future]


def test_callback_added_after_the_value_runs_at_once() -> None:
    future: LaneFuture[int] = LaneFuture()
    future.set(1)
    seen: list[LaneFuture[Any]] = []

    future.add_done_callback(seen.append)

    assert seen == [future]


def test_callback_added_while_the_value_is_set_is_called_once() -> None:
    future: LaneFuture[int] = LaneFuture()
    seen: list[LaneFuture[Any]] = []

    class Slow(list[Any]):
        """The value arrives when the callback is about to be noted."""

        def append(self, callback: Any) -> None:
            future.set(1)
            super().append(callback)

    future._callbacks = Slow()

    future.add_done_callback(seen.append)

    assert seen == [future]


def test_callback_that_raises_is_logged_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    future: LaneFuture[int] = LaneFuture()
    seen: list[LaneFuture[Any]] = []

    def fail(_: LaneFuture[Any]) -> None:
        raise ValueError("observer")

    future.add_done_callback(fail)
    future.add_done_callback(seen.append)
    with caplog.at_level(logging.ERROR):
        future.set(1)

    assert seen == [future]
    assert "callback of <LaneFuture done>" in caplog.text


def test_get_waits_for_a_value_set_by_another_thread() -> None:
    waits = threading.Event()

    class Announcing(LaneFuture[str]):
        def add_done_callback(self, callback: Callable[[LaneFuture[Any]], None]) -> None:
            super().add_done_callback(callback)
            waits.set()

    future = Announcing()

    def set_late() -> None:
        waits.wait(20)
        future.set("late")

    setter = threading.Thread(target=set_late)
    setter.start()

    assert future.get(timeout=20) == "late"
    setter.join()


def test_get_raises_timeout_and_forgets_its_waiter() -> None:
    future: LaneFuture[str] = LaneFuture()

    with pytest.raises(pykka.Timeout, match=r"0\.001 seconds"):
        future.get(timeout=0.001)

    assert future._callbacks == []


def test_value_is_set_once() -> None:
    future: LaneFuture[int] = LaneFuture()
    future.set(1)

    with pytest.raises(queue.Full):
        future.set(2)
    with pytest.raises(queue.Full):
        future.set_get_hook(lambda _: 3)

    assert future.get() == 1


def test_bare_exception_class_is_raised_as_an_instance() -> None:
    future: LaneFuture[int] = LaneFuture()
    future.set_exception((KeyError, None, None))

    with pytest.raises(KeyError):
        future.get()


def test_await_from_a_foreign_loop_does_not_block_that_loop(async_lane: AsyncLane) -> None:
    gate = threading.Event()

    class Slow(LaneActor):
        lane = async_lane

        async def on_receive(self, message: int) -> int:
            await asyncio.to_thread(gate.wait, 5)
            return message

    ref = Slow.start()

    async def main() -> Any:
        answer = asyncio.ensure_future(_awaited(ref.ask(7, block=False)))
        # The loop still turns while the answer is owed: otherwise nobody could open the gate.
        asyncio.get_running_loop().call_soon(gate.set)
        return await answer

    assert asyncio.run(main()) == 7


async def _awaited(future: pykka.Future[Any]) -> Any:
    return await future


def test_await_raises_what_the_handler_raised(async_lane: AsyncLane) -> None:
    class Faulty(LaneActor):
        lane = async_lane

        def on_receive(self, message: Any) -> None:
            raise KeyError(message)

    ref = Faulty.start()

    with pytest.raises(KeyError, match="lost"):
        asyncio.run(_awaited(ref.ask("lost", block=False)))


def test_cancelled_await_leaves_no_callback_behind() -> None:
    future: LaneFuture[int] = LaneFuture()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_awaited(future), timeout=0.001)

    asyncio.run(main())

    assert future._callbacks == []


def test_value_set_after_the_awaiting_loop_is_gone_is_kept() -> None:
    future: LaneFuture[int] = LaneFuture()
    loop = asyncio.new_event_loop()
    task = loop.create_task(_awaited(future))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    future.set(1)

    assert future.get() == 1
    assert not task.done()
    # The loop will not run it again; say so, before its destructor complains.
    task._log_destroy_pending = False  # type: ignore[attr-defined] # no public way
    coroutine = task.get_coro()
    assert coroutine is not None
    coroutine.close()


Derive = Callable[[LaneFuture[Any], LaneFuture[Any]], pykka.Future[Any]]


@pytest.mark.parametrize(
    ("derive", "expected"),
    [
        (lambda a, _: a.map(lambda value: [*value, 9]), [1, 2, 9]),
        (lambda a, _: a.filter(lambda item: item > 1), [2]),
        (lambda a, _: a.reduce(lambda x, y: x + y), 3),
        (lambda a, b: a.join(b), [[1, 2], [3]]),
        (lambda a, b: a.join(b).map(len), 2),
        (lambda a, _: a.map(lambda value: [*value, 9]).map(len), 3),
    ],
    ids=["map", "filter", "reduce", "join", "join-map", "map-map"],
)
def test_derived_future_can_be_awaited_without_a_thread(derive: Derive, expected: object) -> None:
    first: LaneFuture[Any] = LaneFuture()
    second: LaneFuture[Any] = LaneFuture()
    derived = derive(first, second)

    async def main() -> object:
        answer = asyncio.ensure_future(_awaited(derived))
        loop = asyncio.get_running_loop()
        loop.call_soon(first.set, [1, 2])
        loop.call_soon(second.set, [3])
        value = await answer
        assert set(threading.enumerate()) <= threads
        return value

    threads = set(threading.enumerate())

    assert asyncio.run(main()) == expected


def test_await_of_a_stop_from_a_foreign_loop(async_lane: AsyncLane) -> None:
    class Resident(Echo):
        lane = async_lane

    ref = Resident.start()

    assert asyncio.run(_awaited(ref.stop(block=False))) is True
    assert asyncio.run(_awaited(ref.stop(block=False))) is False


def test_await_raises_what_a_get_hook_of_unknown_origin_raises() -> None:
    future: LaneFuture[int] = LaneFuture()

    def hook(_: float | None) -> int:
        raise ValueError("hook")

    future.set_get_hook(hook)

    with pytest.raises(ValueError, match="hook"):
        asyncio.run(_awaited(future))


def test_join_with_a_future_of_pykka_can_be_awaited() -> None:
    ours: LaneFuture[int] = LaneFuture()
    theirs: pykka.ThreadingFuture[int] = pykka.ThreadingFuture()
    joined = ours.join(theirs)
    ours.set(1)
    theirs.set(2)

    assert asyncio.run(_awaited(joined)) == [1, 2]


def test_blocking_get_on_the_loop_raises_instead_of_stopping_all_io(
    async_lane: AsyncLane,
) -> None:
    class Target(Echo):
        lane = async_lane

    class Blocking(LaneActor):
        lane = async_lane

        def on_receive(self, message: pykka.ActorRef[Target]) -> Any:
            return message.ask("ping")

    with pytest.raises(BlockingOnLoop, match="loop of lane 'io'"):
        Blocking.start().ask(Target.start())


def test_finished_future_may_be_got_on_the_loop(async_lane: AsyncLane) -> None:
    done: LaneFuture[int] = LaneFuture()
    done.set(5)
    pending: LaneFuture[int] = LaneFuture()

    class Reader(LaneActor):
        lane = async_lane

        def on_receive(self, _: Any) -> Any:
            with pytest.raises(pykka.Timeout):
                pending.get(timeout=0)
            return done.get()

    assert Reader.start().ask("read") == 5


def test_awaiting_oneself_in_a_circle_raises_deadlock(async_lane: AsyncLane) -> None:
    class Link(LaneActor):
        lane = async_lane

        async def on_receive(self, message: list[pykka.ActorRef[Any]]) -> Any:
            return await message[0].ask(message[1:], block=False)

    first, second = Link.start(), Link.start()

    with pytest.raises(DeadlockError) as caught:
        first.ask([second, first, second], timeout=20)

    assert set(caught.value.addresses) == {first.actor_urn, second.actor_urn}
    assert caught.value.addresses[0] == caught.value.addresses[-1]


def test_awaiting_a_mapped_answer_in_a_circle_raises_deadlock(async_lane: AsyncLane) -> None:
    class Narcissus(LaneActor):
        lane = async_lane

        async def on_receive(self, _: Any) -> Any:
            return await self.actor_ref.ask("me", block=False).map(str)

    ref = Narcissus.start()

    with pytest.raises(DeadlockError, match=f"{ref.actor_urn} -> {ref.actor_urn}"):
        ref.ask("go", timeout=20)
