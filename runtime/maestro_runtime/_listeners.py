"""Who hears of every durable event."""

import logging
from collections.abc import Callable
from typing import Final

from maestro_storage.records import EventRecord

EventListener = Callable[[EventRecord], None]

_log: Final = logging.getLogger(__name__)


class Listeners:
    """Passes events on. One that raises is logged and not called again."""

    def __init__(self) -> None:
        self._listeners: list[EventListener] = []

    def add(self, listener: EventListener) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.append(listener)

    def tell(self, event: EventRecord) -> None:
        """Call all listeners; never raises."""
        for listener in list(self._listeners):
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - foreign code; this is the thread of the journal
                _log.exception("a listener failed and is not called again: %r", listener)
                self._listeners.remove(listener)
