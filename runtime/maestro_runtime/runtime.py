"""The runtime embedded in this process: one state directory, its actors, and the sessions they run.

`open_runtime` takes the directory, recovers what the last process left, and returns a `Runtime`.
Everything it hands out is a proxy or a handle; nothing outside touches an actor.
"""

import logging
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from maestro_actors.healing import BUILT_IN as BUILT_IN_STRATEGIES
from maestro_actors.help_desk import HelpDesk
from maestro_actors.identity import (
    ACCOUNTANT_ADDRESS,
    HELP_DESK_ADDRESS,
)
from maestro_actors.kernel import (
    ActorSystem,
    AsyncLane,
    Restart,
    SystemClock,
    ThreadLane,
)
from maestro_actors.messages import BreakerChanged, encode
from maestro_actors.ports import Ports
from maestro_actors.proxy import LocalChannel
from maestro_actors.receipt import Receipt
from maestro_actors.session_queue import turn_of
from maestro_actors.team import Team, decode_team
from maestro_actors.token_accountant import TokenAccountant
from maestro_runtime._admission import Admission, names_of, require_team
from maestro_runtime._book_verbs import BookVerbs
from maestro_runtime._directories import usable_input, usable_output
from maestro_runtime._engine_desk import EngineDesk
from maestro_runtime._governance import Governance
from maestro_runtime._help_verbs import HelpVerbs
from maestro_runtime._help_watch import HelpWatch
from maestro_runtime._host_verbs import HostVerbs
from maestro_runtime._listeners import BreakerListener, EventListener, Listeners
from maestro_runtime._memory import StoreMemory
from maestro_runtime._news import EventNews
from maestro_runtime._opening import opening
from maestro_runtime._openings import Opening, Openings
from maestro_runtime._phase_verbs import PhaseVerbs
from maestro_runtime._planner import Planner, require_no_rerun
from maestro_runtime._readiness import current_versions, placed, require_ready
from maestro_runtime._record_verbs import RecordVerbs
from maestro_runtime._resumption import require_open
from maestro_runtime._running import RunningSessions
from maestro_runtime._session_queue import DOORKEEPER_ADDRESS, Doorkeeper
from maestro_runtime._survivors import kill_recorded
from maestro_runtime.checkpoints import Forked, ForkOrder, fork, forked_team
from maestro_runtime.checks import Checks
from maestro_runtime.control import put_away
from maestro_runtime.engines.driver import Driver
from maestro_runtime.engines.host import EngineHost
from maestro_runtime.engines.registry import EngineRegistry, builtin_engines
from maestro_runtime.errors import ActorFailed, SessionBusy
from maestro_runtime.healing import BUILT_IN as BUILT_IN_FIXES
from maestro_runtime.healing import FileMender
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.prices import open_prices
from maestro_runtime.receipts import answer_in, carried_out, receipt_of
from maestro_runtime.redaction import Redactor, environment_secrets, team_secrets
from maestro_runtime.session import Session, SessionOrder
from maestro_runtime.supervisor import Custodian, Supervisor
from maestro_runtime.tickets import AlertFile, AlertSink, FileSink, TicketDesk
from maestro_runtime.tickets.alerts import FILE_NAME as ALERTS_NAME
from maestro_runtime.tickets.file import DIRECTORY as TICKET_DIRECTORY
from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS
from maestro_runtime.wire.state import CUSTODIAN_ADDRESS
from maestro_storage import Store, StorePorts
from maestro_storage.errors import StorageError
from maestro_storage.plan import Plan
from maestro_storage.records import SESSION_FINAL, EventRecord, SessionRecord

_ENDS: Final = frozenset(f"session_{state}" for state in (*SESSION_FINAL, "help_needed", "paused"))

_log: Final = logging.getLogger(__name__)


class Runtime(HostVerbs, PhaseVerbs, BookVerbs, HelpVerbs, RecordVerbs, Governance):
    """The actors over one state directory. Close it, or use it as a context manager."""

    def __init__(self, state_dir: Path, options: RuntimeOptions) -> None:
        # First of all: a table that is not one must leave nothing open behind.
        prices = open_prices(state_dir, options.policy.prices)
        self._options = options
        self._begin_to_govern(state_dir, options.policy, prices)
        self._redactor = options.redactor or Redactor(environment_secrets(os.environ))
        self._listeners = Listeners[EventRecord]()
        self._breaker_listeners = Listeners[BreakerChanged]()
        self._starting = Openings()
        """Held while a session is looked up and started, or its record is changed at rest: two
        callers must not both do it."""
        self._help = HelpWatch()
        self._lane = AsyncLane("actors")
        self.system = ActorSystem(
            self._lane,
            clock=options.clock or SystemClock(self._lane),
            on_escalation=self._escalated,
        )
        self._running = RunningSessions(
            self.system,
            options.breaker,
            options.stop_grace_seconds,
            lambda seconds: self.store.journal.settle(seconds),  # noqa: PLW0108 - opened below
        )
        self.store = Store.open(
            state_dir,
            options=options.store,
            ports=StorePorts(
                deliver=self.system.deliver,
                on_events=self._publish,
                on_failure=self._fail,
                observer=options.observer,
                now_ms=self.system.clock.now_ms,
            ),
        )
        self._admission = Admission(self.store)
        builtin = builtin_engines(self.store.state_id, self._redactor)
        self.registry = EngineRegistry((*builtin, *options.engines))
        driver = partial(Driver, self.store.state_id, redactor=self._redactor)
        self._host = EngineHost(
            self.registry,
            Checks(driver()),
            FileMender(driver(), (*BUILT_IN_FIXES, *options.fixes)),
        )
        self._channel = LocalChannel(self.system)
        self._ports = Ports(
            system=self.system,
            journal=self.store.journal,
            memory=StoreMemory(self.store),
            engines=EngineDesk(self.system, self._host, self.registry, self._redactor),
            epoch=self.store.epoch,
            prices=prices,
            breaker_changed=self._breaker_listeners.tell,
            strategies=(*options.strategies, *BUILT_IN_STRATEGIES),
        )
        self.news = EventNews(self.store)
        self._planner = Planner(self.store, self._running, self._ports)
        try:
            kill_recorded(self.store)
            self.system.spawn(TokenAccountant, self._ports, address=ACCOUNTANT_ADDRESS)
            self._govern_at_start()
        except BaseException:
            self.store.close()
            raise
        tickets = options.tickets or FileSink(self.store.path / TICKET_DIRECTORY)
        alerts = (
            tickets if isinstance(tickets, AlertSink) else AlertFile(self.store.path / ALERTS_NAME)
        )
        self._tickets = TicketDesk(self.system, tickets, alerts, self._redactor)
        self.system.spawn(
            HelpDesk,
            self._ports,
            self._tickets,
            address=HELP_DESK_ADDRESS,
            supervision=Restart(),
        )
        # A thread each: what they do waits for the disk.
        self._orders = ThreadLane("orders", threads=2)
        spawn = partial(self.system.spawn, supervision=Restart(), lane=self._orders)
        spawn(Supervisor, self, address=SUPERVISOR_ADDRESS)
        spawn(Doorkeeper, self, self._running, address=DOORKEEPER_ADDRESS)
        spawn(Custodian, self.store, address=CUSTODIAN_ADDRESS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def subscribe(self, listener: EventListener) -> None:
        """Call `listener` with every event of every session, once it is durable, in order.

        It is called on the journal's thread: be quick, and do not wait for the runtime. One that
        raises is logged and not called again.
        """
        self._listeners.add(listener)

    def subscribe_breakers(self, listener: BreakerListener) -> None:
        """Call `listener` when a circuit breaker opens, probes or closes, once it is durable.

        A change that becomes durable just before the process dies is told to nobody. It is called
        on the thread of the actors: be quick, and do not wait for the runtime. One that raises is
        logged and not called again.
        """
        self._breaker_listeners.add(listener)

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
        with self._starting.of(*names_of(order, session_id)):
            found = self._admission.find(order, session_id)
            if found is None:
                return self._open(order, session_id, run=run)
            record, stored = found
            if not run:
                return self._as_it_is(record.session_id)
            team = order.team if order.accept_changes else stored
            return self._take_up(record, stored, team, plan=order.plan or None)

    def _placed(self, order: SessionOrder) -> tuple[SessionOrder, str]:
        """Return an order as it is run here, and what a new session of it is called."""
        # As it will be read again: a resumed session must see the very team it began with.
        order = replace(order, team=decode_team(encode(order.effective_team)), context=None)
        session_id = order.resolved_id()
        self._running.require_admission(session_id)
        team = placed(order.team, self.registry, self._options.breaker)
        return self._admission.checked(replace(order, team=team)), session_id

    def _open(self, order: SessionOrder, session_id: str, *, run: bool) -> Opening:
        """Hand in a new session. Under the lock."""
        queue = self._running.queue
        if run:
            queue.require_place(session_id)
        self.store.check_room()
        require_ready(order.team, self.registry)
        versions = current_versions(order.team, self.registry)
        now_ms = self.system.clock.now_ms()
        particulars = self._admission.particulars(order, versions)
        turn = turn_of(session_id, order.priority, now_ms)
        draft = opening(
            self.store,
            order,
            session_id,
            now_ms,
            particulars=particulars,
            takes_place=lambda: not run or queue.takes(turn),
        )
        try:
            durable = self.store.journal.commit(draft)
        except BaseException:
            queue.end(session_id)
            raise
        self._admission.admitted(order, session_id)
        begin = partial(self._start, team=order.team) if run else self._as_it_is
        return self._starting.add(names_of(order, session_id), durable, partial(begin, session_id))

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

        Args:
            session_id: The session.
            plan: What it runs from now on, instead of what is left of its plan; empty for
                everything. Phases that have begun go on in any case.

        With another team only the tasks that have not ended follow it: new contracts get tasks,
        those of removed contracts go, and what was delivered stays. That is one transition, durable
        when this returns. An engine that is not what it was is told in the history
        ("engine_changed") and used.

        Args:
            session_id: The session.
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
        with self._starting:
            self._running.require_admission(session_id)
            record = self.store.require_session(session_id)
            stored = self._admission.team_of(record)
            if carried_out(self.store, receipt):
                return self._take_up(record, stored, stored)
            given = stored
            if team is not None:
                given = placed(decode_team(encode(team)), self.registry, self._options.breaker)
                if not accept_changes:
                    require_team(record, stored, given)
            return self._take_up(record, stored, given, by_name=True, plan=plan, receipt=receipt)

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
        with self._starting:
            if row := carried_out(self.store, receipt):
                session_id = answer_in(row, Forked).session_id
                team = self._admission.team_of(self.store.require_session(session_id))
            else:
                self._running.require_admission(order.new_id or order.session_id)
                self._running.queue.require_place(order.new_id or "")
                team = forked_team(self.store, order)
                require_ready(team, self.registry)
                now_ms = self.system.clock.now_ms()
                session_id = fork(self.store, order, now_ms, receipt=receipt)
            return self._take_up(self.store.require_session(session_id), team, team)

    def close(self) -> None:
        """Stop: nothing new starts, engines are stopped, what they used is booked, all is closed.

        An attempt that is cut short counts as interrupted; its session resumes from there.
        """
        if not self._running.close():
            return
        grace = self._options.stop_grace_seconds
        halted = self._running.halt()
        self._host.close(grace)
        if not self._running.failed:
            for ref in halted:
                ref.actor_stopped.wait(grace)
        self._tickets.close()
        try:
            self.system.stop_all(timeout_seconds=grace)
        finally:
            # An actor that hangs must keep neither the state locked nor anybody waiting.
            self.store.close()
            self._starting.give_up(grace)
            self._orders.close()
            self._lane.close()
            self._running.abandon()

    def _take_up(
        self,
        record: SessionRecord,
        stored: Team,
        team: Team,
        *,
        by_name: bool = False,
        plan: Plan | None = None,
        receipt: Receipt | None = None,
    ) -> Session:
        """Go on with a session, by another team than the stored one if that has been accepted."""
        session_id = record.session_id
        # Whoever gives it a plan means this very session.
        by_name = by_name or plan is not None
        if team != stored:
            require_open(record)
            if self._running.is_under_way(session_id):
                raise SessionBusy(session_id, "its team changes")
        if record.state in SESSION_FINAL:
            return self._as_it_is(session_id)
        if record.wish == "cancel" or (record.wish == "pause" and not by_name):
            # It is just brought to its end, or to rest.
            return self._start(session_id, stored)
        if plan is not None:
            require_no_rerun(record)
        if record.state not in ("queued", "running"):
            self._running.queue.require_place(session_id)
        self._require_usable(record, team)
        stays = record.state == "paused" and not by_name
        # Before a pause is taken back: what is refused changes nothing.
        self._note_changes(session_id, stored, team, plan)
        if not stays and plan is None and not self._goes_on(session_id, receipt):
            return self._as_it_is(session_id)
        if plan is not None:
            stays = not self._planner.resumed(self.store.require_session(session_id), plan)
        return self._as_it_is(session_id) if stays else self._start(session_id, team)

    def _require_usable(self, record: SessionRecord, team: Team) -> None:
        """Refuse to go on with a session whose engines, checks or directories cannot be used."""
        require_ready(team, self.registry)
        usable_output(Path(record.output_dir))
        if record.input_dir is not None:
            usable_input(Path(record.input_dir))

    def _start(self, session_id: str, team: Team) -> Session:
        self._redactor.learn(team_secrets(team, os.environ))
        ended = self._running.start(self._ports, session_id, team)
        return Session(session_id, self, ended)

    def _publish(self, events: list[EventRecord]) -> None:
        for event in events:
            self._listeners.tell(event)
            self._help.note(event)
            self._planner.watch.note(event)
            self.news.note(event)
            if event.kind == "session_rerun":
                self._running.turned(event.session_id)
            elif event.kind in _ENDS:
                now_ms = self.system.clock.now_ms()
                put_away(self.store, event.session_id, now_ms, then=self._running.end)

    def _escalated(self, address: str, error: BaseException) -> None:
        if address == HELP_DESK_ADDRESS:
            # Its tickets are in the outbox, and the next start has another: no verdict hangs on it.
            _log.error("the help desk has stopped: %s: %s", type(error).__name__, error)
            return
        # An actor that cannot write any more may hear of it before the runtime does.
        stored = isinstance(error, StorageError)
        self._fail(error if stored else ActorFailed(address, f"{type(error).__name__}: {error}"))

    def _fail(self, error: BaseException) -> None:
        self._running.fail(error)
        self._help.fail(error)


def open_runtime(state_dir: Path | str, options: RuntimeOptions | None = None) -> Runtime:
    """Take the state directory, recover it, and return the runtime over it.

    Returns once the last process's engines are dead and the new owner epoch is durable. No session
    runs until it is started or resumed; what waits in the outbox is sent at once.

    Raises:
        StateOwned: Another process owns the directory.
        StateNotWritable: It cannot be written.
        StateDamaged: It cannot be trusted.
        StateTooNew: A newer version wrote it; it was not touched.
    """
    return Runtime(Path(state_dir), options or RuntimeOptions())
