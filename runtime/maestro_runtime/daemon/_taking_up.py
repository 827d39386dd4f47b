"""Going on with what a stop or a crash has left: each session for itself."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from maestro_actors.sessions.queue import in_order
from maestro_runtime.errors import RuntimeStopped
from maestro_runtime.runtime import Runtime
from maestro_storage import Records
from maestro_storage.records import SESSION_FINAL, SessionRecord

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TakenUp:
    """What became of the sessions that had not come to rest."""

    resumed: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    """Sessions that cannot go on now, and why; they can be resumed later."""


def under_way(records: Records) -> Iterator[SessionRecord]:
    """Yield the sessions that ran, or were about to be paused or cancelled; then the queue."""
    sessions = list(records.sessions.scan())
    for record in sessions:
        if record.state not in (*SESSION_FINAL, "queued") and (
            record.state == "running" or record.wish != "run"
        ):
            yield record
    yield from in_order(sessions)


def take_up(runtime: Runtime, goes_on: Callable[[TakenUp], bool]) -> TakenUp:
    """Go on with all that were under way; one that cannot does not keep the others.

    Args:
        runtime: Where they run.
        goes_on: Asked before each; False: the rest stays as it is.
    """
    taken = TakenUp()
    for record in list(under_way(runtime.store)):
        if not goes_on(taken):
            break
        session_id = record.session_id
        try:
            runtime.take_up(session_id)
        except RuntimeStopped:
            break
        except Exception as error:  # noqa: BLE001 - foreign engines; the other sessions must go on
            reason = str(error) or type(error).__name__
            taken.left[session_id] = reason
            runtime.hosting.leave_alone(session_id, reason)
            _log.warning(
                "session stays as it is until it can be resumed: %s",
                reason,
                extra={"session_id": session_id},
            )
        else:
            taken.resumed.append(session_id)
    return taken
