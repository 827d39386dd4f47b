"""The verbs of a runtime by which sessions begin and go on."""

import os
from collections.abc import Collection
from dataclasses import replace
from functools import partial

from maestro_actors.messages import encode
from maestro_actors.receipt import Receipt
from maestro_actors.sessions.queue import admitted, turn_of
from maestro_actors.team import BreakerPolicy, Team, decode_team
from maestro_runtime.checkpoints import Forked, ForkOrder, fork, forked_team
from maestro_runtime.errors import SessionBusy
from maestro_runtime.receipts import answer_in, carried_out, receipt_of
from maestro_runtime.recorded import recorded_team
from maestro_runtime.session import Session, SessionOrder
from maestro_runtime.starting.admission import Admission, names_of, require_team
from maestro_runtime.starting.opening import opening
from maestro_runtime.starting.openings import Opening
from maestro_runtime.starting.readiness import (
    current_versions,
    placed,
    require_ready,
    require_usable,
)
from maestro_runtime.starting.resumption import require_open
from maestro_runtime.verbs._foundation import Foundation
from maestro_runtime.verbs._planner import Planner, require_no_rerun
from maestro_runtime.verbs._sessions import SessionVerbs
from maestro_runtime.wire.errors import SessionsNotHosted
from maestro_storage.plan import Plan
from maestro_storage.records import SESSION_FINAL, SessionRecord


class StartVerbs:
    """Run, create, resume and fork; and taking up what a stop or a crash has left."""

    def __init__(
        self, base: Foundation, sessions: SessionVerbs, planner: Planner, breaker: BreakerPolicy
    ) -> None:
        """Start sessions; `breaker` is of breakers that a team says nothing about."""
        self._base = base
        self._sessions = sessions
        self._planner = planner
        self._breaker = breaker
        self._admission = Admission(base.store)

    def run(self, order: SessionOrder) -> Session:
        """Start a session, resume it if it has begun, or just return it if it has ended.

        When this returns, the session and all its tasks are durable. If no more may run it is
        queued, and begins by itself. One that is paused is just returned, too; one that is to be
        paused, or cancelled, is brought to that.

        Raises:
            SessionConflict: It exists and was started with another directory, key or labels, at
                another phase, or with other given files.
            TeamChanged: It exists and has another team, and the order does not accept changes.
            TeamChangeRefused, SessionBusy: As `resume`.
            IdempotencyConflict: A session was started under the key with another input.
            SessionNameInvalid, LabelInvalid, IdempotencyKeyInvalid, PriorityInvalid: Of that form
                there is none.
            ContextInvalid: The context breaks a rule.
            EngineNotReady: An engine cannot work here.
            CheckNotReady: A check cannot be evaluated here.
            DirectoryUnusable: A directory cannot be used, or does not hold only what is given.
            PlanInvalid, PhaseNotReady: A phase is unknown, or the plan cannot be kept.
            GivenMissing, InputsInvalid: What is given is not what has to be.
            ArtifactMismatch: A given file is not what it was a moment before.
            SessionQuarantined: A record of the session is damaged.
            QuotaExceeded: The state directory has no room for another session.
            AdmissionRefused: All run that may, and the queue is full; nothing was written.
        """
        begun = self.begin(order)
        return begun.result() if isinstance(begun, Opening) else begun

    submit = run

    def create(self, order: SessionOrder) -> str:
        """Make a session durable without running it, unless it exists; return its id.

        Raises: as `run`.
        """
        begun = self.begin(order, run=False)
        session = begun.result() if isinstance(begun, Opening) else begun
        return session.session_id

    def begin(self, order: SessionOrder, *, run: bool = True) -> Session | Opening:
        """As `run`, or as `create`; a new session is handed in, and need not be durable.

        Those that are handed in until somebody sees to the first one share a commit.
        """
        order, session_id = self._placed(order)
        with self._base.starting.of(*names_of(order, session_id)):
            found = self._admission.find(order, session_id)
            if found is None:
                return self._open(order, session_id, run=run)
            record, stored = found
            if not run:
                return self._sessions.as_it_is(record.session_id)
            team = order.team if order.accept_changes else stored
            to_start = self._to_start(record, stored, team, plan=order.plan or None)
            return self._started(record.session_id, to_start)

    def _placed(self, order: SessionOrder) -> tuple[SessionOrder, str]:
        """Return an order as it is run here, and what a new session of it is called."""
        # As it will be read again: a resumed session must see the very team it began with.
        order = replace(order, team=decode_team(encode(order.effective_team)), context=None)
        session_id = order.resolved_id()
        self._base.running.require_admission(session_id)
        team = placed(order.team, self._base.registry, self._breaker)
        return self._admission.checked(replace(order, team=team)), session_id

    def _open(self, order: SessionOrder, session_id: str, *, run: bool) -> Opening:
        """Hand in a new session. Under the lock."""
        queue = self._base.running.queue
        if run:
            queue.require_place(session_id)
        self._base.store.check_room()
        require_ready(order.team, self._base.registry)
        versions = current_versions(order.team, self._base.registry)
        now_ms = self._base.now_ms()
        particulars = self._admission.particulars(order, versions)
        turn = turn_of(session_id, order.priority, now_ms)
        draft = opening(
            self._base.store,
            order,
            session_id,
            now_ms,
            particulars=particulars,
            takes_place=lambda: not run or queue.takes(turn),
        )
        try:
            durable = self._base.store.journal.commit(draft)
        except BaseException:
            queue.end(session_id)
            raise
        self._admission.admitted(order, session_id, self._base.starting.holds)
        begin = partial(self._sessions.start, team=order.team) if run else self._sessions.as_it_is
        return self._base.starting.add(
            names_of(order, session_id), durable, partial(begin, session_id)
        )

    def resume(
        self,
        session_id: str,
        plan: Plan | None = None,
        *,
        team: Team | None = None,
        accept_changes: bool = False,
        request_id: bytes = b"",
    ) -> Session:
        """Take up a session by its id alone: team and directories are in its records.

        One that is paused, or is to be, goes on; one that is to be cancelled is. One
        that has come to a stop of its plan goes on with the next stretch; if none is left, with
        everything that is left.

        With another team only the tasks that have not ended follow it: new contracts get tasks,
        those of removed contracts go, and what was delivered stays. That is one transition, durable
        when this returns. An engine that is not what it was is told in the history
        ("engine_changed") and used.

        Args:
            session_id: The session.
            plan: What it runs from now on, instead of what is left of its plan; empty for
                everything. Phases that have begun go on in any case.
            team: What it is to go on with; None: what it has.
            accept_changes: Whether that may be another team than it has.
            request_id: As for `retry`; one without is sent again with a plan, or it may go on with
                the stretch after the next.

        Raises:
            RequestIdInvalid: As `retry`.
            PlanInvalid, PhaseNotReady: The plan cannot be kept.
            SessionConflict: The plan is another one, and the session runs.
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
            TeamChanged: The team is another one, and that is not accepted.
            TeamChangeRefused: What has ended would change with the team, or the plan cannot be
                kept with it.
            SessionBusy: Its team is to change while it runs.
            EngineNotReady: An engine cannot work here.
            CheckNotReady: A check cannot be evaluated here.
        """
        receipt = receipt_of(request_id, "resumption")
        with self._base.starting:
            self._base.running.require_admission(session_id)
            record = self._base.store.require_session(session_id)
            stored = recorded_team(self._base.store, record)
            if carried_out(self._base.store, receipt):
                return self._started(session_id, self._to_start(record, stored, stored))
            given = stored
            if team is not None:
                given = placed(decode_team(encode(team)), self._base.registry, self._breaker)
                if not accept_changes:
                    require_team(record, stored, given)
            to_start = self._to_start(
                record, stored, given, by_name=True, plan=plan, receipt=receipt
            )
            return self._started(session_id, to_start)

    def fork(self, order: ForkOrder, *, request_id: bytes = b"") -> Session:
        """Start a new session from a checkpoint of another; durable when this returns.

        Tasks that were done or skipped by then are kept, with their files copied and verified; the
        others run. The original is not touched, and may be running. With the `request_id` of a fork
        that was made, that one goes on.

        Raises:
            RequestIdInvalid: As `retry`.
            NotFound: There is no such session or checkpoint.
            SessionExists, SessionNameInvalid: The new name is taken, or is not one.
            ArtifactMismatch: A file of the original is not what the checkpoint has.
            EngineNotReady, CheckNotReady, DirectoryUnusable, QuotaExceeded: As `run`.
            SessionQuarantined: A record of the original is damaged.
        """
        receipt = receipt_of(request_id, "fork")
        with self._base.starting:
            if row := carried_out(self._base.store, receipt):
                session_id = answer_in(row, Forked).session_id
                team = recorded_team(self._base.store, self._base.store.require_session(session_id))
            else:
                self._base.running.require_admission(order.new_id or order.session_id)
                self._base.running.queue.require_place(order.new_id or "")
                team = forked_team(self._base.store, order)
                require_ready(team, self._base.registry)
                now_ms = self._base.now_ms()
                session_id = fork(self._base.store, order, now_ms, receipt=receipt)
            record = self._base.store.require_session(session_id)
            return self._started(session_id, self._to_start(record, team, team))

    def take_up(self, session_id: str) -> Session:
        """Go on with a session as a stop or a crash has left it.

        One that is to be paused or cancelled is; one that is paused, or has ended, stays so. Nobody
        is known to wait for any of its phases, so each may be asked for (`run_phases`).

        Raises:
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
            UnknownEngine, EngineNotReady: An engine cannot work here.
            CheckNotReady: A check cannot be evaluated here.
            DirectoryUnusable: A directory of it cannot be used.
            RuntimeDraining, RuntimeStopped: The runtime comes to its end.
            SafeMode: It is in safe mode.
        """
        with self._base.starting.of(session_id):
            self._base.running.require_admission(session_id)
            record = self._base.store.require_session(session_id)
            team = recorded_team(self._base.store, record)
            return self._started(session_id, self._to_start(record, team, team), claimed=())

    def admit(self, session_id: str) -> Session | Opening:
        """As `take_up`; that it has left the queue is handed in, and need not be durable.

        Those that leave it until somebody sees to the first one share a commit.
        """
        with self._base.starting.of(session_id):
            self._base.running.require_admission(session_id)
            record = self._base.store.require_session(session_id)
            team = recorded_team(self._base.store, record)
            if self._to_start(record, team, team) is None:
                return self._sessions.as_it_is(session_id)
            return self._let_out(session_id, team)

    def _let_out(self, session_id: str, team: Team) -> Session | Opening:
        """Hand in that a session leaves the queue, if it is in it. Under the lock."""
        store, start = self._base.store, partial(self._sessions.start, session_id, team)
        record = store.require_session(session_id)
        if record.state != "queued" or record.wish != "run":
            return start()
        durable = store.journal.commit(admitted(record, self._base.now_ms(), store.epoch))
        return self._base.starting.add((session_id,), durable, start)

    def attach(self, order: SessionOrder) -> Session:
        """Return the session of an order if it runs; nothing is started.

        Raises:
            SessionsNotHosted: It does not run here.
            Exception: As `run`, if it is not the session that the order means.
        """
        order, session_id = self._placed(order)
        with self._base.starting.of(*names_of(order, session_id)):
            found = self._admission.find(order, session_id)
            session_id = "" if found is None else found[0].session_id
            if not self._base.running.is_under_way(session_id):
                raise SessionsNotHosted(os.getpid())
            return self._sessions.as_it_is(session_id, self._base.running.ended(session_id))

    def _started(
        self, session_id: str, team: Team | None, claimed: Collection[str] | None = None
    ) -> Session:
        """Have a session run, or return it as it is if there is nothing to run it with."""
        if team is None:
            return self._sessions.as_it_is(session_id)
        return self._sessions.start(session_id, team, claimed)

    def _to_start(
        self,
        record: SessionRecord,
        stored: Team,
        team: Team,
        *,
        by_name: bool = False,
        plan: Plan | None = None,
        receipt: Receipt | None = None,
    ) -> Team | None:
        """Make a session ready to go on; return the team it does so with, None if it does not.

        It may be another team than the stored one, if that has been accepted.
        """
        session_id = record.session_id
        # Whoever gives it a plan means this very session.
        by_name = by_name or plan is not None
        if team != stored:
            require_open(record)
            if self._base.running.is_under_way(session_id):
                raise SessionBusy(session_id, "its team changes")
        if record.state in SESSION_FINAL:
            return None
        if record.wish == "cancel" or (record.wish == "pause" and not by_name):
            # It is just brought to its end, or to rest.
            return stored
        if plan is not None:
            require_no_rerun(record)
        if record.state not in ("queued", "running"):
            self._base.running.queue.require_place(session_id)
        require_usable(record, team, self._base.registry)
        stays = record.state == "paused" and not by_name
        # Before a pause is taken back: what is refused changes nothing.
        self._base.note_changes(session_id, stored, team, plan)
        if not stays and plan is None and not self._sessions.goes_on(session_id, receipt):
            return None
        if plan is not None:
            stays = not self._planner.resumed(self._base.store.require_session(session_id), plan)
        return None if stays else team
