"""A session on real actors and a real store; only time and the engines are replaced."""

import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from maestro_actors.accounting.accountant_proxy import AccountantProxy
from maestro_actors.accounting.token_accountant import TokenAccountant
from maestro_actors.circuit_breaker import BreakerProxy, CircuitBreaker
from maestro_actors.engine import Artifact, CallOrder, Estimate, Outcome, Usage
from maestro_actors.help.alert import AlertPosting
from maestro_actors.help.help_desk import HelpDesk, HelpDeskProxy
from maestro_actors.help.posting import Posting
from maestro_actors.identity import (
    ACCOUNTANT_ADDRESS,
    HELP_DESK_ADDRESS,
    breaker_address,
    coordinator_address,
)
from maestro_actors.kernel import ActorSystem, AsyncLane, Lane, Restart, VirtualClock
from maestro_actors.ledger.budget import Budget, Caller
from maestro_actors.ledger.prices import PriceBook, RateCard
from maestro_actors.limits import CallLimits
from maestro_actors.messages import (
    CallRecovered,
    EngineFinished,
    PostingNotSent,
    PostingSent,
    TopUp,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import LocalChannel, encoded
from maestro_actors.sessions.coordinator import Coordinator
from maestro_actors.sessions.coordinator_proxy import CoordinatorProxy
from maestro_actors.sessions.session import NewSession, opening_transition
from maestro_actors.sessions.succession import Tenure
from maestro_actors.team import (
    BreakerPolicy,
    Contract,
    Deliverable,
    Persona,
    Phase,
    RetryPolicy,
    Team,
)
from maestro_runtime.ports.memory import StoreMemory
from maestro_storage import CommitObserver, Store, StoreOptions, StorePorts
from maestro_storage.records import AttemptRecord, EventRecord, TaskRecord
from maestro_storage.transition import Event, Transition

OK = Outcome(
    usage=Usage(input_tokens=60, output_tokens=40),
    artifacts=(Artifact(path="a.md", size_bytes=1, sha256="00", changed=True),),
)
TRANSIENT = Outcome(
    usage=Usage(input_tokens=10),
    failure="transient",
    evidence=("connection reset",),
    engine_fault=True,
)
MALFORMED = Outcome(
    usage=Usage(input_tokens=10, output_tokens=5),
    failure="malformed_output",
    evidence=("no JSON in the answer",),
)
PERMANENT = Outcome(failure="permanent", evidence=("no such model",))

SESSION = "s-1"
BOUND_SECONDS = 20.0


def team(*contracts: Contract, phases: tuple[Phase, ...] = (), **changes: object) -> Team:
    """Return a team with one persona, `dev`, that keeps every contract."""
    persona = Persona(persona_id="dev", engine="scripted", **changes)  # type: ignore[arg-type]
    return Team(
        name="t",
        requirement="r",
        personas={"dev": persona},
        phases=phases or (Phase(name="build"),),
        contracts=contracts or (contract("c1"),),
        max_parallel_workers=2,
    )


def contract(name: str, *, phase: str = "build", after: tuple[str, ...] = ()) -> Contract:
    """Return a contract that owes one file."""
    return Contract(
        id=name,
        name=name,
        phase=phase,
        provider_persona_id="dev",
        after=after,
        deliverables=(Deliverable(name="file", artifacts=("*.md",)),),
    )


NO_WAIT = RetryPolicy(backoff_seconds=0.0, backoff_max_seconds=0.0, round_backoff_seconds=(0.0,))


class ScriptedEngines:
    """The engines port: a test says how each call ends, and when."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self.outcomes: deque[Outcome] = deque()
        """How the next calls end, in order; then `OK` for ever."""
        self.estimate_tokens = 100
        self.floor_tokens = 0
        self.held = False
        """Calls stay in flight until `finish`."""
        self.stubborn = False
        """Calls that are cancelled go on until they are killed."""
        self.clinging = False
        """Calls that are taken over go on until they are killed."""
        self.cancelled: list[tuple[str, int | None]] = []
        """Calls that were told to stop, and by when."""
        self._asked: dict[str, str] = {}
        """Who waits to hear what calls that he has taken over came to."""
        self.started: list[CallOrder] = []
        self.arrived = threading.Condition()
        self._in_flight: dict[str, tuple[CallOrder, str]] = {}
        self.recovered: list[CallOrder] = []
        self.recovered_usage: Usage | None = None

    def estimate(self, _order: CallOrder) -> Estimate:
        return Estimate(self.estimate_tokens, self.floor_tokens)

    def start(self, order: CallOrder, reply_to: str) -> None:
        with self.arrived:
            self.started.append(order)
            self._in_flight[order.call_id] = (order, reply_to)
            self.arrived.notify_all()
            # What a test that has waited for it says now is about later calls.
            is_held = self.held
        if not is_held:
            self.finish(order.call_id)

    def finish(self, call_id: str, outcome: Outcome | None = None) -> None:
        _, reply_to = self._in_flight.pop(call_id)
        if outcome is None:
            outcome = self.outcomes.popleft() if self.outcomes else OK
        message = EngineFinished(call_id=bytes.fromhex(call_id), outcome=outcome)
        self._system.deliver(reply_to, encoded(message))
        if call_id in self._asked:
            self._tell_recovered(call_id, self._asked.pop(call_id))

    def process_recorded(self, call_id: bytes) -> None:
        raise AssertionError(f"no process was started for {call_id.hex()}")

    def recover(self, order: CallOrder, reply_to: str, deadline_ms: int | None = None) -> None:
        self.recovered.append(order)
        if self.clinging and order.call_id in self._in_flight:
            self._asked[order.call_id] = reply_to
            self.cancelled.append((order.call_id, deadline_ms))
        else:
            self._tell_recovered(order.call_id, reply_to)

    def _tell_recovered(self, call_id: str, reply_to: str) -> None:
        message = CallRecovered(call_id=bytes.fromhex(call_id), usage=self.recovered_usage)
        self._system.deliver(reply_to, encoded(message))

    def cancel(self, call_id: bytes, deadline_ms: int | None = None) -> None:
        self.cancelled.append((call_id.hex(), deadline_ms))
        if not self.stubborn:
            self.finish(call_id.hex(), Outcome(failure="interrupted"))

    def kill(self, call_id: bytes) -> None:
        # One that is recovered may be of an earlier start.
        if call_id.hex() in self._in_flight:
            self.finish(call_id.hex(), Outcome(failure="interrupted"))

    def wait_for_calls(self, count: int) -> list[CallOrder]:
        """Wait until `count` calls have been started in all."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.started) >= count, BOUND_SECONDS)
            return list(self.started)


class ScriptedTickets:
    """The tickets port: a test says what becomes of each posting, and when."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self.posted: list[Posting] = []
        self.alerts: list[AlertPosting] = []
        self.arrived = threading.Condition()
        self.held = False
        """Postings stay under way until `sent` or `failed`."""

    def post(self, posting: Posting | AlertPosting, reply_to: str) -> None:
        assert reply_to == HELP_DESK_ADDRESS
        with self.arrived:
            if isinstance(posting, Posting):
                self.posted.append(posting)
            else:
                self.alerts.append(posting)
            self.arrived.notify_all()
        if not self.held:
            self.sent(posting)

    def sent(self, posting: Posting | AlertPosting) -> None:
        message = PostingSent(
            session_id=posting.session_id,
            posting_id=posting.posting_id,
            reference=f"T-{len(self.posted)}",
        )
        self._system.deliver(HELP_DESK_ADDRESS, encoded(message))

    def failed(self, posting: Posting | AlertPosting, *, doubtful: bool) -> None:
        message = PostingNotSent(
            session_id=posting.session_id,
            posting_id=posting.posting_id,
            reason="no route",
            doubtful=doubtful,
        )
        self._system.deliver(HELP_DESK_ADDRESS, encoded(message))

    def wait_for_postings(self, count: int) -> list[Posting]:
        """Wait until the sink has been given `count` postings of tickets in all."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.posted) >= count, BOUND_SECONDS)
            return list(self.posted)

    def wait_for_alerts(self, count: int) -> list[AlertPosting]:
        """Wait until the sink has been given `count` postings of alerts in all."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.alerts) >= count, BOUND_SECONDS)
            return list(self.alerts)


@dataclass
class Stage:
    """One start of the state directory, with its actors."""

    store: Store
    system: ActorSystem
    lane: AsyncLane
    clock: VirtualClock
    engines: ScriptedEngines
    ports: Ports
    events: list[EventRecord]
    changed: threading.Condition
    tickets: ScriptedTickets
    escalations: list[BaseException] = field(default_factory=list)
    supervision: Restart | None = None
    """Of coordinators: without any, what one fails at is an escalation."""

    def create(self, wanted: Team) -> None:
        """Make a session durable, all its tasks queued."""
        new = NewSession(session_id=SESSION, team=wanted, output_dir="/nowhere")
        transition = opening_transition(new, self.clock.now_ms(), self.store.epoch)
        self.store.journal.commit(transition).result(BOUND_SECONDS)

    def run(
        self,
        wanted: Team,
        policy: BreakerPolicy | None = None,
        kind: type[Coordinator] = Coordinator,
        *,
        limits: CallLimits | None = None,
        budgets: tuple[Budget, ...] = (),
    ) -> None:
        """Start the actors of a session that is durable."""
        self.system.spawn(TokenAccountant, self.ports, address=ACCOUNTANT_ADDRESS)
        if limits is not None or budgets:
            self.govern(limits or CallLimits(), *budgets)
        self.system.spawn(
            CircuitBreaker,
            self.ports,
            "scripted",
            policy or BreakerPolicy(),
            address=breaker_address("scripted"),
        )
        self.coordinate(wanted, kind)

    def govern(self, limits: CallLimits, *budgets: Budget) -> None:
        """Have other limits and budgets of the whole runtime in force."""
        self.accountant.govern(limits, budgets).get(timeout=BOUND_SECONDS)

    def coordinate(self, wanted: Team, kind: type[Coordinator] = Coordinator) -> None:
        """Give the session a coordinator, once the last one is gone."""
        address = coordinator_address(SESSION)
        self.system.stop(address).get(timeout=BOUND_SECONDS)
        self.system.spawn(
            kind,
            self.ports,
            SESSION,
            wanted,
            None,
            Tenure(),
            address=address,
            supervision=self.supervision,
        )

    def open_help_desk(self) -> None:
        """Start the help desk, as every start of the runtime does."""
        self.system.spawn(
            HelpDesk,
            self.ports,
            self.tickets,
            address=HELP_DESK_ADDRESS,
            supervision=Restart(),
        )

    def wait_for(self, kind: str, count: int = 1) -> list[EventRecord]:
        """Wait until `count` events of a kind are durable in this start; return them."""

        def found() -> list[EventRecord]:
            return [event for event in self.events if event.kind == kind]

        with self.changed:
            assert self.changed.wait_for(lambda: len(found()) >= count, BOUND_SECONDS), (
                [(event.kind, event.data) for event in self.events],
                self.escalations,
            )
        return found()

    def advance_until(self, kind: str, count: int = 1) -> None:
        """Let virtual time jump from timer to timer until the events are there."""

        def missing() -> bool:
            return sum(event.kind == kind for event in self.events) < count

        while missing():
            with self.changed:
                self.changed.wait(0.005)
            if missing():
                self.clock.advance_to_next()

    def task(self, task_id: str = "c1") -> TaskRecord:
        record = self.store.tasks.get(SESSION, task_id)
        assert record is not None
        return record

    def attempts(self, task_id: str = "c1") -> list[AttemptRecord]:
        return list(self.store.attempts.scan(SESSION, task_id))

    @property
    def coordinator(self) -> CoordinatorProxy:
        return CoordinatorProxy(LocalChannel(self.system), SESSION)

    @property
    def help_desk(self) -> HelpDeskProxy:
        return HelpDeskProxy(LocalChannel(self.system))

    def top_up(self, budget: Budget, caller: Caller, amount: int) -> None:
        """Raise a limit in its running window; durable with the next commit."""
        at_ms, draft = self.clock.now_ms(), Transition()
        told: dict[str, str | int | float | bool | None] = {
            "budget_id": budget.id,
            "amount": amount,
        }
        draft.event(Event(caller.session_id, "budget_topped_up", at_ms, data=told))
        order = TopUp(
            budget=budget,
            caller=caller,
            metric=budget.metric,
            amount=amount,
            at_ms=at_ms,
            retried=(),
            draft=draft,
        )
        self.accountant.top_up(order).get(timeout=BOUND_SECONDS)

    @property
    def accountant(self) -> AccountantProxy:
        return AccountantProxy(LocalChannel(self.system))

    @property
    def breaker(self) -> BreakerProxy:
        return BreakerProxy(LocalChannel(self.system), "scripted")

    def close(self) -> None:
        """End like a killed process: actors vanish, what is durable stays."""
        self.store.close()
        self.lane.close()


def changed_retry(wanted: Team, retry: RetryPolicy) -> Team:
    """Return the team with another retry policy for its persona."""
    persona = msgspec.structs.replace(wanted.personas["dev"], retry=retry)
    return msgspec.structs.replace(wanted, personas={"dev": persona})


PRICES = PriceBook(
    {"m-1": RateCard(input=2_000_000, output=4_000_000, cache_read=0, cache_write=0, reasoning=0)}
)
"""One token of model `m-1` costs 2 nano-USD, one of its output 4."""


def open_stage(
    state_dir: Path,
    clock: VirtualClock,
    *,
    actor_lane: Lane | None = None,
    observer: CommitObserver | None = None,
) -> Stage:
    """Open a state directory as a start of the runtime would; `actor_lane` stays the caller's."""
    lane = AsyncLane("test")
    escalations: list[BaseException] = []
    system = ActorSystem(
        actor_lane or lane,
        clock,
        on_escalation=lambda _address, error: escalations.append(error),
    )
    changed = threading.Condition()
    events: list[EventRecord] = []

    def on_events(batch: list[EventRecord]) -> None:
        with changed:
            events.extend(batch)
            changed.notify_all()

    store = Store.open(
        state_dir,
        options=StoreOptions(map_bytes=1 << 28),
        ports=StorePorts(
            deliver=system.deliver, on_events=on_events, observer=observer, now_ms=clock.now_ms
        ),
    )
    engines = ScriptedEngines(system)
    ports = Ports(system, store.journal, StoreMemory(store), engines, store.epoch, PRICES)
    tickets = ScriptedTickets(system)
    return Stage(store, system, lane, clock, engines, ports, events, changed, tickets, escalations)
