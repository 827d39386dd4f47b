"""An actor that keeps what it is told."""

from typing import TYPE_CHECKING

from maestro_actors.kernel import LaneActor

if TYPE_CHECKING:
    import pykka


class Listener(LaneActor):
    """Keeps what it is told."""

    def __init__(self, heard: "pykka.Future[bytes]") -> None:
        super().__init__()
        self._heard = heard

    def on_receive(self, message: bytes) -> None:
        self._heard.set(message)
