"""What waits for a client that follows all events."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from maestro_actors.messages import encode
from maestro_runtime.daemon._stream import STREAM_EVENTS_MAX, Stream, Streams
from maestro_runtime.wire.errors import EventsMissed
from maestro_storage.records import EventRecord

decode = msgspec.msgpack.Decoder(EventRecord).decode


def event(number: int) -> EventRecord:
    return EventRecord(session_id="s", sequence=number, at_ms=number, kind="k")


def tell(streams: Streams, count: int) -> None:
    for number in range(1, count + 1):
        streams.note(event(number))


def numbers(events: Iterable[bytes]) -> list[int]:
    return [decode(item).sequence for item in events]


def test_events_come_in_order_at_most_so_many_at_once_and_whoever_waits_is_woken() -> None:
    async def follow() -> list[list[int]]:
        streams, stream = Streams(), Stream(events_max=3, bytes_max=1 << 20)
        streams.add(stream)
        teller = threading.Thread(target=tell, args=(streams, 7))
        waiting = asyncio.ensure_future(stream.next())
        await asyncio.sleep(0)
        teller.start()
        taken = [await waiting]
        teller.join()
        while sum(map(len, taken)) < 7:
            taken.append(await stream.next())
        return [numbers(part) for part in taken]

    found = asyncio.run(follow())

    assert [number for part in found for number in part] == list(range(1, 8))
    assert max(map(len, found)) <= 3


def test_who_tells_wakes_the_loop_once_for_all_streams_and_each_hears_from_when_it_came() -> None:
    wakes = 0

    async def follow() -> list[list[int]]:
        nonlocal wakes
        streams, found = Streams(), [Stream(10, 1 << 20) for _ in range(3)]
        tell(streams, 1)
        for stream in found[:2]:
            streams.add(stream)
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def counted(*args: Any) -> Any:
            nonlocal wakes
            wakes += 1
            return wake(*args)

        vars(loop)["call_soon_threadsafe"] = counted
        for number in (2, 3):
            streams.note(event(number))
        streams.add(found[2])
        streams.remove(found[1])
        streams.note(event(4))
        await asyncio.sleep(0)
        return [numbers(await stream.next()) for stream in (found[0], found[2])] + [
            numbers(found[1]._events)
        ]

    assert asyncio.run(follow()) == [[2, 3, 4], [4], [2, 3]]
    assert wakes == 2


def test_when_the_loop_does_not_come_to_it_all_streams_begin_anew_and_then_go_on() -> None:
    async def follow() -> list[int]:
        streams = Streams()
        slow, new = Stream(10, 1 << 20), Stream(10, 1 << 20)
        streams.add(slow)
        tell(streams, STREAM_EVENTS_MAX + 1)
        with pytest.raises(EventsMissed):
            await slow.next()
        streams.add(new)
        streams.note(event(7))
        return numbers(await new.next())

    assert asyncio.run(follow()) == [7]


def test_large_events_come_alone() -> None:
    async def follow() -> list[int]:
        stream = Stream(events_max=3, bytes_max=1)
        for number in (1, 2):
            stream.take(encode(event(number)))
        return [len(await stream.next()), len(await stream.next())]

    assert asyncio.run(follow()) == [1, 1]


def test_a_client_that_does_not_read_is_told_to_begin_anew() -> None:
    async def follow() -> None:
        stream = Stream(events_max=3, bytes_max=1 << 20)
        for number in range(STREAM_EVENTS_MAX + 1):
            stream.take(encode(event(number)))
        await stream.next()

    with pytest.raises(EventsMissed, match="more than 10000 events have waited") as caught:
        asyncio.run(follow())

    assert caught.value.limit == STREAM_EVENTS_MAX
