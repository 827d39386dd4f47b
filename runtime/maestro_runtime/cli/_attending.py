"""Attending a session that another process runs: progress, and the report at its end."""

import time
from contextlib import suppress
from pathlib import Path

from maestro_actors.verbs.wish import intention
from maestro_runtime.cli._at_rest import AtRest
from maestro_runtime.cli._following import followed
from maestro_runtime.cli._output import say
from maestro_runtime.cli._owner import Owner
from maestro_runtime.cli._progress import progress
from maestro_runtime.cli._sessions import to_go_on, to_leave_safe_mode
from maestro_runtime.cli._waiting import TICKET_SECONDS, Deadline
from maestro_runtime.errors import SessionLeftAlone
from maestro_runtime.reports.session import SessionReport, session_report
from maestro_runtime.stream import REST_EVENTS
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.orders import Accepted
from maestro_storage import Records
from maestro_storage.errors import StateOwned
from maestro_storage.records import SESSION_FINAL


class Attendance:
    """Follows a session to its end, whoever runs it by then."""

    def __init__(self, state_dir: Path, owner: Owner, accepted: Accepted) -> None:
        """Begin with what the owner has answered."""
        self._state_dir = state_dir
        self._owner = owner
        self._session_id = accepted.session_id
        self._rests = accepted.rests

    def to_the_end(
        self, opening: str, *, known: int, as_json: bool, deadline: Deadline
    ) -> SessionReport:
        """Show progress until nothing more can run in the session.

        Args:
            opening: What is said of the session at first.
            known: Events that were on record before; they are not printed.
            as_json: One JSON object for each event, instead of text.
            deadline: When it is waited for no longer.

        Raises:
            TimedOut: The deadline has passed; the session goes on.
            NotFound: The session is removed.
            DaemonUnreachable: Its process is gone, and none has come back within a minute.
            SessionLeftAlone: Whoever has the state now does not go on with it.
        """
        session_id = self._session_id
        report, is_over = self._first_sight(deadline)
        if is_over:
            return report
        say(f"session {session_id} {opening}; workspace {report.output_dir}")
        ended_at: float | None = None
        with progress(report, lambda event: event.sequence > known, as_json=as_json) as listener:
            for owner, events in followed(self._owner.socket, session_id):
                deadline.check()
                for event in events:
                    listener(event)
                # An earlier end is on record, too.
                if any(event.kind in REST_EVENTS and event.sequence > known for event in events):
                    ended_at = time.monotonic()
                found = self._seen(owner, ended_at)
                if found is not None:
                    return found
                if owner is not None and not events:
                    self._require_going(owner)
        raise AssertionError("a stream of events has no end")

    def _seen(self, owner: Owner | None, ended_at: float | None) -> SessionReport | None:
        """Return the report if it is the last one."""
        if owner is None:
            return self._left_behind()
        return None if ended_at is None else self._ended(owner, time.monotonic() - ended_at)

    def _first_sight(self, deadline: Deadline) -> tuple[SessionReport, bool]:
        """Return where a session stands, and whether there is nothing to wait for."""
        try:
            report = session_report(self._owner.records, self._session_id)
        except DaemonUnreachable:
            # Unless it is a daemon's: what was ordered was the last thing its process had to do.
            return self._found_again(deadline), not self._owner.hosts
        if self._rests and report.state in SESSION_FINAL:
            say(f"session {self._session_id} has already ended; run --session NAME starts another")
        return report, self._rests

    def _found_again(self, deadline: Deadline) -> SessionReport:
        """Return where a session stands whose process has gone: at rest, or in a daemon's hands."""
        for owner, _ in followed(self._owner.socket, self._session_id):
            deadline.check()
            if owner is None:
                found = self._left_behind()
            elif self._owner.hosts:
                found = self._stands(owner)
            else:
                found = self._ended(owner, TICKET_SECONDS)
            if found is not None:
                return found
            if owner is not None:
                self._require_going(owner)
        raise AssertionError("a stream of events has no end")

    def _stands(self, owner: Owner) -> SessionReport | None:
        with suppress(DaemonUnreachable):
            return session_report(owner.records, self._session_id)
        return None

    def _require_going(self, owner: Owner) -> None:
        """Refuse to wait for a session that the next daemon has left as it is.

        Raises:
            SessionLeftAlone: It does not go on before somebody resumes it.
        """
        with suppress(DaemonUnreachable):
            reason = owner.why_left(self._session_id)
            if reason is not None:
                say(to_leave_safe_mode() if owner.in_safe_mode else to_go_on(self._session_id))
                raise SessionLeftAlone(self._session_id, reason)

    def _ended(self, owner: Owner, for_seconds: float) -> SessionReport | None:
        """Return the report once the session has ended, and what follows that at once has followed.

        Its tickets are sent, if they can be, or it is removed, if it is to be.

        None as well if the owner is gone: then the next sight tells more.
        """
        with suppress(DaemonUnreachable):
            records = owner.records
            record = records.require_session(self._session_id)
            waits = record.removal or self._is_sending(records)
            # One that is set aside is to run again from a phase only once it is resumed.
            aside = record.state == "paused" and record.wish == "run"
            stays = record.state not in ("queued", "running") and not intention(record)
            if (aside or stays) and (for_seconds >= TICKET_SECONDS or not waits):
                return session_report(records, self._session_id)
        return None

    def _is_sending(self, records: Records) -> bool:
        rows = records.outbox.scan(self._session_id)
        return any(row.state != "done" and row.deadline_ms is None for row in rows)

    def _left_behind(self) -> SessionReport | None:
        """Return the report if the process that ran only its own sessions has left the state.

        A daemon comes back: its state is left alone.
        """
        if self._owner.hosts:
            return None
        with suppress(StateOwned), AtRest(self._state_dir) as desk:
            return session_report(desk.records, self._session_id)
        return None
