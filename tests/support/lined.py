"""The channel to the actors of another process, one request after the other."""

import sys

import pykka

from maestro_actors.kernel import LaneFuture
from maestro_actors.messages import Message
from maestro_actors.proxy import encoded
from maestro_runtime.proxies import Proxies
from maestro_runtime.wire.line import Line


class LineChannel:
    """Every future it returns is done."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def tell(self, address: str, message: Message) -> None:
        self._line.ask(address, encoded(message))

    def ask(self, address: str, message: bytes) -> pykka.Future[bytes]:
        future = LaneFuture[bytes]()
        try:
            future.set(self._line.ask(address, message))
        except Exception:  # noqa: BLE001 - for who gets the future
            future.set_exception(sys.exc_info())
        return future


class LineProxies(Proxies):
    """All proxies, through a line."""

    def __init__(self, line: Line) -> None:
        self._channel = LineChannel(line)
