"""The runtime embedded in this process: one state directory, its actors, and the sessions they run.

`open_runtime` takes the directory, recovers what the last process left, and returns a `Runtime`.
Everything it hands out is a proxy or a handle; nothing outside touches an actor.
"""

import logging
import os
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from maestro_actors.accounting.token_accountant import TokenAccountant
from maestro_actors.healing import BUILT_IN as BUILT_IN_STRATEGIES
from maestro_actors.help.help_desk import HelpDesk
from maestro_actors.identity import (
    ACCOUNTANT_ADDRESS,
    HELP_DESK_ADDRESS,
    coordinator_address,
)
from maestro_actors.kernel import (
    ActorSystem,
    AsyncLane,
    LaneFuture,
    Restart,
    SystemClock,
    ThreadLane,
)
from maestro_actors.ledger.prices import PriceBook
from maestro_actors.messages import BreakerChanged
from maestro_actors.ports import Ports
from maestro_actors.proxy import LocalChannel
from maestro_runtime.at_rest.sessions import put_away
from maestro_runtime.engines.registry import EngineRegistry
from maestro_runtime.errors import ActorFailed
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.policy import RuntimePolicy
from maestro_runtime.ports.engines import engine_desk
from maestro_runtime.ports.journal import LaneJournal
from maestro_runtime.ports.memory import StoreMemory
from maestro_runtime.prices import open_prices
from maestro_runtime.proxies import Proxies
from maestro_runtime.redaction import Redactor, environment_secrets
from maestro_runtime.running.help_watch import HelpWatch
from maestro_runtime.running.listeners import BreakerListener, EventListener, Listeners
from maestro_runtime.running.news import EventNews
from maestro_runtime.running.session_queue import DOORKEEPER_ADDRESS, Doorkeeper
from maestro_runtime.running.sessions import RunningSessions
from maestro_runtime.starting.openings import Openings
from maestro_runtime.starting.survivors import kill_recorded, name_of
from maestro_runtime.stream import REST_EVENTS
from maestro_runtime.supervisor import Custodian, Supervisor
from maestro_runtime.tickets import TicketDesk, ticket_desk
from maestro_runtime.verbs import (
    BookVerbs,
    BreakerVerbs,
    Foundation,
    Governance,
    HelpVerbs,
    Hosting,
    PhaseVerbs,
    Planner,
    RecordVerbs,
    SessionVerbs,
    StartVerbs,
    verb,
)
from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS
from maestro_runtime.wire.state import CUSTODIAN_ADDRESS
from maestro_storage import Store, StorePorts
from maestro_storage.errors import STORE_LOST, StorageError
from maestro_storage.records import EventRecord

PartT = TypeVar("PartT")

_TURNS: Final = frozenset(("session_rerun", "coordinator_failed"))

_log: Final = logging.getLogger(__name__)


class Runtime(Proxies):
    """The actors over one state directory. Close it, or use it as a context manager.

    It opens and closes them. What can be asked of it is in its parts, as listed here. Whoever makes
    one has it listen: until then others who find the state owned wait for that. `open_runtime` is
    for programs that do not listen.
    """

    run = verb(StartVerbs, StartVerbs.run)
    submit = run
    create = verb(StartVerbs, StartVerbs.create)
    begin = verb(StartVerbs, StartVerbs.begin)
    resume = verb(StartVerbs, StartVerbs.resume)
    fork = verb(StartVerbs, StartVerbs.fork)
    take_up = verb(StartVerbs, StartVerbs.take_up)
    admit = verb(StartVerbs, StartVerbs.admit)
    attach = verb(StartVerbs, StartVerbs.attach)

    pause = verb(SessionVerbs, SessionVerbs.pause)
    cancel = verb(SessionVerbs, SessionVerbs.cancel)
    retry = verb(SessionVerbs, SessionVerbs.retry)
    rerun = verb(SessionVerbs, SessionVerbs.rerun)
    remove = verb(SessionVerbs, SessionVerbs.remove)
    ended = verb(SessionVerbs, SessionVerbs.ended)
    next_events = verb(SessionVerbs, SessionVerbs.next_events)
    leave = verb(SessionVerbs, SessionVerbs.leave)
    looked = verb(SessionVerbs, SessionVerbs.looked)

    run_phases = verb(PhaseVerbs, PhaseVerbs.run_phases)
    phases_over = verb(PhaseVerbs, PhaseVerbs.phases_over)
    checkpoint = verb(PhaseVerbs, PhaseVerbs.checkpoint)

    answer = verb(HelpVerbs, HelpVerbs.answer)
    settle_tickets = verb(HelpVerbs, HelpVerbs.settle_tickets)

    correct = verb(BookVerbs, BookVerbs.correct)
    top_up = verb(BookVerbs, BookVerbs.top_up)

    open_breaker = verb(BreakerVerbs, BreakerVerbs.open_breaker)
    close_breaker = verb(BreakerVerbs, BreakerVerbs.close_breaker)

    prune = verb(RecordVerbs, RecordVerbs.prune)
    import_bundle = verb(RecordVerbs, RecordVerbs.import_bundle)
    keep_values = verb(RecordVerbs, RecordVerbs.keep_values)

    govern = verb(Governance, Governance.govern)

    def __init__(self, state_dir: Path, options: RuntimeOptions) -> None:
        # First of all: a table that is not one must leave nothing open behind.
        prices = open_prices(state_dir, options.policy.prices)
        self._pid = os.getpid()
        self._grace_seconds = options.stop_grace_seconds
        self._redactor = options.redactor or Redactor(environment_secrets(os.environ))
        self._listeners = Listeners[EventRecord]()
        self._breaker_listeners = Listeners[BreakerChanged]()
        self._help = HelpWatch()
        self._lane = AsyncLane("actors")
        # A thread each: what is done there waits for the disk.
        self._orders = ThreadLane("orders", threads=2)
        clock = options.clock or SystemClock(self._lane)
        self.system = ActorSystem(self._lane, clock=clock, on_escalation=self._escalated)
        super().__init__(LocalChannel(self.system))
        self._running = RunningSessions(
            self.system,
            options.breaker,
            options.stop_grace_seconds,
            lambda seconds: self.store.journal.settle(seconds),  # noqa: PLW0108 - opened below
            lambda session_id: self.news.wake(session_id),  # noqa: PLW0108 - as above
        )
        self._starting = Openings()
        with ExitStack() as resources:
            # What is opened here is closed in the opposite order, at the end or if a step fails.
            # An actor that hangs must keep neither the state locked nor anybody waiting.
            resources.callback(self._running.abandon)
            resources.callback(self._lane.close)
            resources.callback(self._orders.close)
            resources.callback(self._starting.give_up, self._grace_seconds)
            self.store = resources.enter_context(closing(self._opened(state_dir, options)))
            resources.callback(self.system.stop_all, timeout_seconds=self._grace_seconds)
            self._engines = engine_desk(self.system, name_of(self.store), self._redactor, options)
            ports = self._ports(options, prices)
            kill_recorded(self.store)
            self.system.spawn(TokenAccountant, ports, address=ACCOUNTANT_ADDRESS)
            self._divide(state_dir, options, ports)
            tickets = ticket_desk(self.system, self.store.path, options.tickets, self._redactor)
            resources.callback(tickets.close)
            self._staff(ports, tickets)
            self._resources = resources.pop_all()

    def _opened(self, state_dir: Path, options: RuntimeOptions) -> Store:
        return Store.open(
            state_dir,
            options=options.store,
            ports=StorePorts(
                deliver=self.system.deliver,
                gathering=self._lane.gathering,
                on_events=self._publish,
                on_failure=self._fail,
                observer=options.observer,
                now_ms=self.system.clock.now_ms,
            ),
        )

    def _ports(self, options: RuntimeOptions, prices: PriceBook) -> Ports:
        return Ports(
            system=self.system,
            journal=LaneJournal(self.store.journal, self._lane),
            memory=StoreMemory(self.store),
            engines=self._engines,
            epoch=self.store.epoch,
            prices=prices,
            breaker_changed=self._breaker_listeners.tell,
            strategies=(*options.strategies, *BUILT_IN_STRATEGIES),
        )

    def _divide(self, state_dir: Path, options: RuntimeOptions, ports: Ports) -> None:
        """Make the parts."""
        self.news = EventNews(self.store, self._running.why_left)
        self._planner = Planner(self.store, self._running, ports)
        base = Foundation(self.store, ports, self._running, self.registry, self._starting)
        sessions = SessionVerbs(base, self.news, self._redactor)
        parts = (
            StartVerbs(base, sessions, self._planner, options.breaker),
            sessions,
            PhaseVerbs(base, self._planner, self.news),
            HelpVerbs(base, self._help),
            BookVerbs(base),
            BreakerVerbs(base),
            RecordVerbs(base),
            Governance(base, state_dir, options.policy),
        )
        self._parts: dict[type, Any] = {type(part): part for part in parts}
        self.hosting = Hosting(base)

    def _staff(self, ports: Ports, tickets: TicketDesk) -> None:
        """Start the actors that are there from the beginning; the accountant is."""
        spawn = partial(self.system.spawn, supervision=Restart(escalates=True))
        spawn(HelpDesk, ports, tickets, address=HELP_DESK_ADDRESS)
        spawn(Supervisor, self, address=SUPERVISOR_ADDRESS, lane=self._orders)
        spawn(Doorkeeper, self, self._running, address=DOORKEEPER_ADDRESS, lane=self._orders)
        spawn(Custodian, self.store, address=CUSTODIAN_ADDRESS, lane=self._orders)

    def part(self, kind: type[PartT]) -> PartT:
        """Return the part of a kind."""
        part: PartT = self._parts[kind]
        return part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def registry(self) -> EngineRegistry:
        """The engines that teams can name."""
        return self._engines.registry

    @property
    def policy(self) -> RuntimePolicy:
        """The policy in force."""
        return self.part(Governance).policy

    @property
    def lost(self) -> LaneFuture[None]:
        """Fails with what went wrong when the store or an actor is lost, and every session with it.

        The runtime is to be closed then; what was acknowledged is safe.
        """
        return self._running.lost

    def subscribe(self, listener: EventListener) -> None:
        """Call `listener` with every event of every session, once it is durable, in order.

        It is called on the thread that made it durable, the journal's or that of the actors: be
        quick, and do not wait for the runtime. One that raises is logged and not called again.
        """
        self._listeners.add(listener)

    def subscribe_breakers(self, listener: BreakerListener) -> None:
        """Call `listener` when a circuit breaker opens, probes or closes, once it is durable.

        A change that becomes durable just before the process dies is told to nobody. It is called
        on the thread of the actors: be quick, and do not wait for the runtime. One that raises is
        logged and not called again.
        """
        self._breaker_listeners.add(listener)

    def close(self) -> None:
        """Stop: nothing new starts, engines are stopped, what they used is booked, all is closed.

        An attempt that is cut short counts as interrupted; its session resumes from there. In a
        forked child nothing happens: all of it is its parent's.
        """
        if os.getpid() != self._pid or not self._running.close():
            return
        self.store.take_leave()
        halted = self._running.halt()
        self._engines.host.close(self._grace_seconds)
        if not self._running.failed:
            for ref in halted:
                ref.actor_stopped.wait(self._grace_seconds)
        self._resources.close()

    def _publish(self, events: list[EventRecord]) -> None:
        self._listeners.tell(*events)
        self._help.note(events)
        self._planner.watch.note(events)
        self.news.note(events)
        for event in events:
            if event.kind in _TURNS:
                self._running.turned(event.session_id)
            elif event.kind in REST_EVENTS:
                now_ms = self.system.clock.now_ms()
                put_away(self.store, event.session_id, now_ms, then=self._running.end)

    def _escalated(self, address: str, error: BaseException) -> None:
        if address == HELP_DESK_ADDRESS:
            # Its tickets are in the outbox, and the next start has another: no verdict hangs on it.
            _log.error("the help desk has stopped: %s: %s", type(error).__name__, error)
            return
        stored = isinstance(error, StorageError)
        told = error if stored else ActorFailed(address, f"{type(error).__name__}: {error}")
        session_id = address.removeprefix(coordinator_address(""))
        # An actor that cannot write any more may hear of it before the runtime does.
        lost = isinstance(error, STORE_LOST) or not isinstance(error, Exception)
        if session_id == address or lost:
            self._fail(told)
        else:
            self._running.forsake(session_id, told)

    def _fail(self, error: BaseException) -> None:
        self._running.fail(error)
        self._help.fail(error)


def open_runtime(state_dir: Path | str, options: RuntimeOptions | None = None) -> Runtime:
    """Take the state directory, recover it, and return the runtime over it.

    Returns once the last process's engines are dead and the new owner epoch is durable. No session
    runs until it is started or resumed; what waits in the outbox is sent at once. Others who look
    for the owner of the state are told that it does not listen, and do not wait for it.

    Raises:
        StateOwned: Another process owns the directory.
        StateNotWritable: It cannot be written.
        StateDamaged: It cannot be trusted.
        StateTooNew: A newer version wrote it; it was not touched.
    """
    with ExitStack() as refused:
        # Tickets name files in it on record: they must be found from any other directory, too.
        place = Path(state_dir).absolute()
        runtime = refused.enter_context(Runtime(place, options or RuntimeOptions()))
        runtime.store.stay_silent()
        refused.pop_all()
        return runtime
