"""The verbs of a runtime that are about phases: for programs that have a plan of their own."""

from collections.abc import Sequence

from maestro_actors.errors import VerbRefused
from maestro_actors.messages import CheckpointTaken
from maestro_runtime.errors import SessionLeftAlone
from maestro_runtime.phases import PhaseRun
from maestro_runtime.receipts import answer_in, carried_out, receipt_of
from maestro_runtime.recorded import recorded_team
from maestro_runtime.running.news import EventNews
from maestro_runtime.starting.readiness import require_usable
from maestro_runtime.stream import rests
from maestro_runtime.verbs._foundation import Foundation
from maestro_runtime.verbs._planner import Planner, require_no_rerun
from maestro_storage.records import SESSION_FINAL


class PhaseVerbs:
    """Single phases, and checkpoints between them."""

    def __init__(self, base: Foundation, planner: Planner, news: EventNews) -> None:
        self._base = base
        self._planner = planner
        self._news = news

    def run_phases(self, session_id: str, phases: Sequence[str]) -> PhaseRun:
        """Run single phases of a session; durable on return.

        A session at rest runs these, those that have begun, and no others; then it pauses. One
        that runs does these besides. A phase that is done stays as it is, so that its run ends at
        once; tasks that failed in one that cannot go on are tried again. Any thread; calls for the
        same session take their turns.

        Raises:
            PlanInvalid: A phase is not of the team, or there is none.
            PhaseNotReady: A phase comes after one that is neither done nor about to be.
            PhaseConflict: A phase runs already, for another call or with the whole session.
            VerbRefused: The session is about to be paused, cancelled or run again from a phase.
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
            EngineNotReady, CheckNotReady, DirectoryUnusable: As `run`.
            pykka.Timeout: It was not durable within 30 seconds; it still may become so.
        """
        self._base.running.require_admission(session_id)
        self._require_no_wish(session_id)
        with self._base.starting:
            record = self._base.store.require_session(session_id)
            team = recorded_team(self._base.store, record)
            require_usable(record, team, self._base.registry)
            if record.state not in SESSION_FINAL:
                self._base.note_changes(session_id, team, team)
            return self._planner.run_phases(record, tuple(dict.fromkeys(phases)))

    def _require_no_wish(self, session_id: str) -> None:
        """Refuse what would have to wait until a session has come to rest."""
        with self._base.starting:
            record = self._base.store.require_session(session_id)
            require_no_rerun(record)
            if record.wish != "run" and self._base.running.live(session_id) is not None:
                rule = f"it must not be about to {record.wish}"
                raise VerbRefused("run phases of", session_id, record.state, rule)

    async def phases_over(self, session_id: str, phases: Sequence[str]) -> None:
        """Wait until none of some phases of a session goes on; see `PhaseRun`.

        Raises:
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
            SessionLeftAlone: The session has work left, and is not gone on with.
            RuntimeStopped, StorageError: The runtime came to its end before.
        """
        while not rests(self._base.store.require_session(session_id)):
            # First this, so that none can come in between.
            news = self._news.expect(session_id)
            ended = self._base.running.live(session_id)
            if ended is not None:
                await self._planner.watch.expect(session_id, phases, ended)
                return
            reason = self._base.running.why_left(session_id)
            if reason is not None:
                raise SessionLeftAlone(session_id, reason)
            # It is about to be taken up, or to be written down that it rests.
            await news

    def checkpoint(self, session_id: str, name: str, *, request_id: bytes = b"") -> int:
        """Write down where a session stands, also while it runs; durable on return.

        It can be listed, shown, exported and forked by its name or number like that of a phase, but
        ends none. Of several with the same name, the name means the last.

        Returns:
            Its number; with the `request_id` of one that was taken, that of the first.

        Raises:
            RequestIdInvalid: As `retry`.
            CheckpointNameInvalid: The name is not one, or that of a phase.
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
            pykka.Timeout: It was not durable within 30 seconds; it still may become so.
        """
        receipt = receipt_of(request_id, "checkpoint")
        with self._base.starting:
            if row := carried_out(self._base.store, receipt):
                return answer_in(row, CheckpointTaken).number
            record = self._base.store.require_session(session_id)
            return self._planner.checkpoint(record, name, receipt)
