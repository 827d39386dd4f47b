"""A person beside a run: says through its socket what is to become of it, while it is killed."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from maestro_actors.errors import VerbRefused
from maestro_runtime.cli._event_line import EventLine
from maestro_runtime.cli._owner import Owner
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.line import SOCKET_NAME, Line
from maestro_runtime.wire.orders import CancelSession, PauseSession, RetryFailed
from maestro_storage import Store

if TYPE_CHECKING:
    from maestro_actors.messages import Request

BOUND_SECONDS: Final = 20.0

Verb = Literal["pause", "interrupt", "cancel", "retry"]
EVENT_OF: Final[dict[Verb, str]] = {
    "pause": "pause_asked",
    "interrupt": "pause_asked",
    "cancel": "cancel_asked",
    "retry": "task_retried",
}
"""What is on record once it is said to be done."""


class Hand:
    """Carries out one verb, once, on a thread of its own."""

    def __init__(self, state_dir: Path, session_id: str, verb: Verb) -> None:
        self._state_dir = state_dir
        self._session_id = session_id
        self.verb: Final[Verb] = verb
        self.is_done = False
        """It was said to be done."""
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there was anything to do."""
        return self._thread is not None

    def begin(self, told: list[EventLine]) -> None:
        """Begin, if there is anything to do after what has been told; do not wait."""
        order = self._order([line.task_id for line in told if line.kind == "task_failed"])
        if order is not None:
            self._thread = threading.Thread(target=self._carry_out, args=(order,))
            self._thread.start()

    def end(self) -> None:
        """Wait for the end; AssertionError if what was said to be done is not on record."""
        if self._thread is None:
            return
        self._thread.join(BOUND_SECONDS)
        assert not self._thread.is_alive(), f"nobody answers: {self.verb}"
        if self._error is not None:
            raise self._error
        if self.is_done:
            with Store.inspect(self._state_dir) as store:
                kinds = {event.kind for event in store.events.scan(self._session_id)}
            assert EVENT_OF[self.verb] in kinds, f"{self.verb} is said to be done"

    def _order(self, failed: list[str]) -> "Request[Any] | None":
        session_id = self._session_id
        match self.verb:
            case "pause" | "interrupt":
                interrupt = self.verb == "interrupt"
                return PauseSession(session_id=session_id, reason="lunch", interrupt=interrupt)
            case "cancel":
                return CancelSession(session_id=session_id, reason="", deadline_seconds=5.0)
            case "retry" if failed:
                return RetryFailed(session_id=session_id, task_id=failed[-1])
            case _:
                return None

    def _carry_out(self, order: "Request[Any]") -> None:
        try:
            with Line(self._state_dir / SOCKET_NAME) as line:
                Owner(line).carry_out(order)
            self.is_done = True
        except (VerbRefused, DaemonUnreachable):
            # It has come too late, or whoever runs the session has died of it.
            return
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error


def told_in(text: bytes) -> list[EventLine]:
    """Return the events that a command has printed, but for one that a kill has cut short."""
    return [
        msgspec.json.decode(line, type=EventLine)
        for line in text.splitlines(keepends=True)
        if line.startswith(b"{") and line.endswith(b"\n")
    ]
