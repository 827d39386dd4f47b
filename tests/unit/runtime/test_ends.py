"""One request of a connection hears of the ends of all sessions."""

from typing import Any

import msgspec
import pytest

from maestro_actors.kernel import LaneFuture
from maestro_actors.messages import encode
from maestro_runtime.client._ends import Ends
from maestro_runtime.wire.errors import TooManyRequests
from maestro_runtime.wire.news import Ended, NewsRequest, NextEnds


class Full:
    """A link that has room for who listens, and for nothing else."""

    def __init__(self) -> None:
        self.listening: list[LaneFuture[bytes]] = []

    def ask(self, _address: str, message: bytes) -> LaneFuture[bytes]:
        request: NewsRequest = msgspec.msgpack.decode(message, type=NewsRequest)
        if not isinstance(request, NextEnds):
            raise TooManyRequests(1, 0.1)
        self.listening.append(LaneFuture())
        return self.listening[-1]


def test_a_look_that_fails_leaves_one_who_listens() -> None:
    link: Any = Full()
    ends = Ends(link)
    futures = [ends.expect(name) for name in ("a", "b", "c")]
    for future in futures[:2]:
        with pytest.raises(TooManyRequests):
            future.get(timeout=0)

    assert len(link.listening) == 1
    link.listening[0].set(encode(Ended(epoch=1, number=1, sessions=("c",))))

    with pytest.raises(TooManyRequests):
        futures[2].get(timeout=0)
