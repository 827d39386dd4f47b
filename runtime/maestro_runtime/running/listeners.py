"""Who hears of what has become durable."""

import logging
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from maestro_actors.messages import BreakerChanged
from maestro_storage.records import EventRecord

EventListener = Callable[[EventRecord], None]
BreakerListener = Callable[[BreakerChanged], None]

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


class Listeners(Generic[T]):
    """Passes news on. A listener that raises is logged and not called again."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def add(self, listener: Callable[[T], None]) -> None:
        """Call `listener` with everything from now on."""
        self._listeners.append(listener)

    def tell(self, *news: T) -> None:
        """Call all listeners with each of the news, one listener after the other; never raises."""
        for listener in list(self._listeners):
            try:
                for each in news:
                    listener(each)
            except Exception:  # noqa: BLE001 - foreign code, on a thread that must go on
                _log.exception("a listener failed and is not called again: %r", listener)
                self._listeners.remove(listener)
