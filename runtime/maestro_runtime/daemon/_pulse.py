"""A heartbeat that only beats while the actors' lane turns and the store commits."""

from collections.abc import Callable
from typing import Final

from maestro_actors.kernel import ActorSystem, LaneActor
from maestro_actors.ports import Journal
from maestro_storage.transition import Transition

PULSE_ADDRESS: Final = "urn:maestro:pulse"

_BEAT: Final = b"beat"
_BEATEN: Final = b"beaten"


class _Heart(LaneActor):
    """Goes through the lane, an empty commit, and the lane again."""

    def __init__(self, journal: Journal, beaten: Callable[[], None]) -> None:
        super().__init__()
        self._journal = journal
        self._beaten = beaten

    def on_receive(self, message: bytes) -> None:
        if message == _BEATEN:
            self._beaten()
            return
        draft = Transition()
        draft.then(PULSE_ADDRESS, _BEATEN)
        self._journal.append(draft)


class Pulse:
    """Tells after each beat that came through."""

    def __init__(self, system: ActorSystem, journal: Journal, told: Callable[[], None]) -> None:
        """Begin; `told` is called on the lane, and must not block."""
        self._system: Final = system
        self._told: Final = told
        self._under_way = False
        system.spawn(_Heart, journal, self._beaten, address=PULSE_ADDRESS)

    def beat(self) -> None:
        """Send a beat on its way, unless one still is: a stuck lane must not be given more."""
        if not self._under_way:
            self._under_way = True
            self._system.deliver(PULSE_ADDRESS, _BEAT)

    def _beaten(self) -> None:
        self._under_way = False
        self._told()
