"""What waits for a client that follows all events."""

import asyncio
import threading

import msgspec
import pytest

from maestro_runtime.daemon._stream import STREAM_EVENTS_MAX, Stream
from maestro_runtime.wire.errors import EventsMissed
from maestro_storage.records import EventRecord

decode = msgspec.msgpack.Decoder(EventRecord).decode


def event(number: int) -> EventRecord:
    return EventRecord(session_id="s", sequence=number, at_ms=number, kind="k")


def tell(stream: Stream, count: int) -> None:
    for number in range(1, count + 1):
        stream.note(event(number))


def test_events_come_in_order_at_most_so_many_at_once_and_whoever_waits_is_woken() -> None:
    async def follow() -> list[list[int]]:
        stream = Stream(events_max=3, bytes_max=1 << 20)
        teller = threading.Thread(target=tell, args=(stream, 7))
        waiting = asyncio.ensure_future(stream.next())
        await asyncio.sleep(0)
        teller.start()
        taken = [await waiting]
        teller.join()
        while sum(map(len, taken)) < 7:
            taken.append(await stream.next())
        return [[decode(item).sequence for item in part] for part in taken]

    found = asyncio.run(follow())

    assert [number for part in found for number in part] == list(range(1, 8))
    assert max(map(len, found)) <= 3


def test_large_events_come_alone() -> None:
    async def follow() -> list[int]:
        stream = Stream(events_max=3, bytes_max=1)
        for number in (1, 2):
            stream.note(event(number))
        return [len(await stream.next()), len(await stream.next())]

    assert asyncio.run(follow()) == [1, 1]


def test_a_client_that_does_not_read_is_told_to_begin_anew() -> None:
    async def follow() -> None:
        stream = Stream(events_max=3, bytes_max=1 << 20)
        for number in range(STREAM_EVENTS_MAX + 1):
            stream.note(event(number))
        await stream.next()

    with pytest.raises(EventsMissed, match="more than 10000 events have waited") as caught:
        asyncio.run(follow())

    assert caught.value.limit == STREAM_EVENTS_MAX
