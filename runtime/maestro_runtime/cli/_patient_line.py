"""A line to a daemon that outlasts its restarts: what got no answer is asked again."""

import threading
from pathlib import Path
from typing import Final

from maestro_runtime.cli._output import say
from maestro_runtime.client._patience import Patience
from maestro_runtime.errors import RuntimeStopped
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.frames import Welcome
from maestro_runtime.wire.line import Line
from maestro_storage.errors import StoreClosed

PATIENCE: Final = Patience(seconds=20.0, first_seconds=0.1)
"""How long a daemon that is gone may take to come back."""

_GONE: Final = (DaemonUnreachable, RuntimeStopped, StoreClosed)
"""How a daemon is lost, be it in the middle of an answer."""


class PatientLine:
    """Asks a daemon, and whoever has its state next; what is asked must do no harm twice."""

    def __init__(self, line: Line) -> None:
        """Take over a line, and close it in the end."""
        self._line = line

    @property
    def path(self) -> Path:
        """Of the daemon's socket."""
        return self._line.path

    @property
    def welcome(self) -> Welcome:
        """What the daemon said of itself when it was reached last."""
        return self._line.welcome

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def ask(self, address: str, message: bytes) -> bytes:
        """Return the encoded reply to an encoded message.

        Raises:
            DaemonUnreachable: It has not come back within 20 seconds.
            Exception: What the actor raised.
        """
        try:
            return self._line.ask(address, message)
        except _GONE as gone:
            say(f"{gone}; trying again for {PATIENCE.seconds:.0f} s")
            return self._asked_again(address, message, gone)

    def _asked_again(self, address: str, message: bytes, gone: Exception) -> bytes:
        never = threading.Event()
        for pause_seconds in PATIENCE.pauses():
            PATIENCE.wait(never, pause_seconds)
            try:
                self._reconnect()
                return self._line.ask(address, message)
            except _GONE as error:
                gone = error
        raise gone

    def _reconnect(self) -> None:
        self._line.close()
        line = Line(self.path)
        if line.welcome.state_id != self.welcome.state_id:
            line.close()
            raise DaemonUnreachable(str(self.path), "another state is served there")
        self._line = line
