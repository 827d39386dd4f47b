"""Plays one session step by step, and compares it with its oracle whenever it is at rest."""

from collections import Counter
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

import msgspec
import pykka

from maestro_actors.accounting.token_accountant import TokenAccountant
from maestro_actors.circuit_breaker import BreakerProxy, CircuitBreaker
from maestro_actors.engine import CallOrder, Estimate, Usage
from maestro_actors.errors import VerbRefused
from maestro_actors.identity import (
    ACCOUNTANT_ADDRESS,
    breaker_address,
    coordinator_address,
    persona_address,
)
from maestro_actors.kernel import ActorDump, ActorSystem, Restart, VirtualClock
from maestro_actors.ports import Journal
from maestro_actors.proxy import LocalChannel
from maestro_actors.sessions.coordinator import SUPERVISION, Coordinator
from maestro_actors.sessions.succession import FAILURES_MAX, Tenure
from maestro_actors.team import Team
from maestro_actors.verbs.rework import plan_rerun, rerun, retried
from maestro_actors.verbs.wish import Asked, stands, wished
from maestro_storage.records import SESSION_FINAL, TASK_FINAL
from maestro_storage.transition import Transition
from session_model import POLICY, ModelTask, SessionModel, need_tokens
from session_steps import (
    OUTCOMES,
    Bug,
    Cancel,
    Crash,
    CrashAfter,
    Deaf,
    Doom,
    Fall,
    Finish,
    NextTimer,
    Outage,
    Pass,
    Pause,
    Rerun,
    Resume,
    Retry,
    Step,
    Stop,
)
from staging import BOUND_SECONDS, SESSION, ScriptedEngines, Stage, open_stage

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS_TO_REST_MAX: Final = 10_000
STEPS_TO_END_MAX: Final = 300


class MortalJournal:
    """The journal of a process that dies before one of its transitions is durable."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.left: int | None = None
        """Transitions before its death; None if it is not to die."""
        self.dead = False
        self.appended = 0
        self.ambush: tuple[int, Callable[[], None]] | None = None
        """What happens, and before which transition from now, 1-based."""

    def append(self, transition: Transition) -> None:
        """See `Journal.append`; after its death nothing is heard of a transition any more."""
        if self.ambush is not None:
            left, strike = self.ambush
            self.ambush = (left - 1, strike) if left > 1 else None
            if left == 1:
                strike()
        if self.left == 0:
            self.dead = True
            return
        if self.left is not None:
            self.left -= 1
        self._journal.append(transition)
        # Counted last: whoever sees the number knows that as many have been handed in.
        self.appended += 1


class SizedEngines(ScriptedEngines):
    """Engines whose calls need more tokens for some tasks than for others."""

    def __init__(self, system: ActorSystem) -> None:
        super().__init__(system)
        self.excused: set[tuple[str, int]] = set()
        """Calls that were asked to stop, by task and ordinal."""
        self.stopping: list[str] = []
        """Calls that are to end now."""

    def estimate(self, order: CallOrder) -> Estimate:
        """See `Engines.estimate`."""
        return Estimate(need_tokens(order.task_id))

    def cancel(self, call_id: bytes, deadline_ms: int | None = None) -> None:
        """See `Engines.cancel`; the play says how the call ends."""
        order, _ = self._in_flight[call_id.hex()]
        self.excused.add((order.task_id, order.ordinal))
        if not self.stubborn:
            self.stopping.append(call_id.hex())

    def kill(self, call_id: bytes) -> None:
        """See `Engines.kill`."""
        self.stopping.append(call_id.hex())


class Play:
    """One session, its process of the moment, and the oracle that watches."""

    def __init__(self, state_dir: Path, team: Team) -> None:
        self._state_dir = state_dir
        self._team = team
        self.model = SessionModel(team)
        self._sequence = 0
        self._calls_seen: set[str] = set()
        self._in_flight: dict[str, CallOrder] = {}
        self._after_death = Crash(None, 0.0)
        self._bugs: Counter[str] = Counter()
        """Failures of each persona, and of the coordinator, in this process."""
        self._falls = 0
        """Failures of the coordinator in all processes."""
        self._stage = self._opened(1_000_000)
        self._stage.create(team)
        self._begin(None)

    def close(self) -> None:
        self._stage.close()

    def take(self, step: Step) -> None:  # noqa: C901, PLR0912 - one case a step
        """Do one step, let the system come to rest, and hold it against the oracle."""
        match step:
            case Finish():
                self._finish(step)
            case Outage():
                self._fail_calls(step.calls)
            case NextTimer():
                self._stage.clock.advance_to_next()
            case Pass():
                self._stage.clock.advance(step.seconds)
            case Crash():
                self._rest()
                self._restart(step)
            case CrashAfter():
                self._journal.left = step.transitions
                self._after_death = Crash(step.recovered_tokens, 0.0)
            case Bug():
                self._fail_persona(step)
                # No rest: it meets whatever comes next.
                return
            case Doom():
                for _ in range(Restart().max_restarts + 1):
                    self._fail_persona(Bug(step.place, 0))
                return
            case Fall():
                self._fail_coordinator(step)
                return
            case Stop():
                self._stop()
            case Pause() | Cancel() | Resume():
                self._wish(step)
            case Deaf():
                self._engines.stubborn = True
            case Retry():
                self._retry(step.place)
            case Rerun():
                self._rerun(step)
            case _:
                assert_never(step)
        self._rest()

    def play_out(self) -> None:
        """Let every call succeed and time pass: the session must come to an end."""
        self._rest()
        for _ in range(STEPS_TO_END_MAX):
            if self.model.state == "paused":
                self.take(Resume())
            if self.model.over:
                return
            if self._in_flight:
                self.take(Finish(0, "ok", 50))
            else:
                assert self._stage.clock.advance_to_next(), f"stuck: {self.model.tasks}"
                self._rest()
        raise AssertionError(f"no end in sight: {self.model.tasks}")

    def _opened(self, now_ms: int) -> Stage:
        # A clock for each process: the timers of a dead one must not ring.
        stage = open_stage(self._state_dir, VirtualClock(now_ms))
        self._journal = MortalJournal(stage.ports.journal)
        self._halted = False
        self._bugs.clear()
        self._engines = SizedEngines(stage.system)
        self._engines.held = True
        stage.engines = self._engines
        stage.ports = replace(stage.ports, journal=self._journal, engines=stage.engines)
        return stage

    def _begin(self, recovered: Usage | None) -> None:
        """Start the actors as the runtime does, and let them come to rest."""
        stage, ports = self._stage, self._stage.ports
        self.model.restart(stage.store.epoch, recovered)
        stage.engines.recovered_usage = recovered
        stage.system.spawn(TokenAccountant, ports, address=ACCOUNTANT_ADDRESS)
        for name in self.model.breakers:
            address = breaker_address(name)
            stage.system.spawn(CircuitBreaker, ports, name, POLICY, address=address)
        paused = self.model.state == "paused" and self.model.wish == "run"
        if self.model.state not in SESSION_FINAL and not paused:
            self._run()
        self._rest()

    def _run(self) -> None:
        """Have a coordinator, as when the session is resumed."""
        stage = self._stage
        if not self._is_live:
            self.model.resumed()
            address = coordinator_address(SESSION)
            stage.system.spawn(
                Coordinator,
                stage.ports,
                SESSION,
                self._team,
                None,
                Tenure(),
                address=address,
                supervision=SUPERVISION,
            )

    @property
    def _is_live(self) -> bool:
        return self._stage.system.ref(coordinator_address(SESSION)) is not None

    def _wish(self, step: Pause | Cancel | Resume) -> None:
        """Do as the runtime does: by the coordinator if there is one, else on the records."""
        now_ms = self._stage.clock.now_ms()
        match step:
            case Pause():
                asked = Asked(wish="pause", reason="why not", interrupt=step.interrupt)
            case Cancel():
                asked = Asked(wish="cancel", deadline_ms=now_ms + round(step.seconds * 1000))
            case Resume():
                asked = Asked(wish="run")
        # Without a rest before, because it is to meet whatever is under way.
        with suppress(VerbRefused, pykka.ActorDeadError):
            if self._stage.coordinator.wish(asked).get(timeout=BOUND_SECONDS).taken:
                return
        self._rest()
        session = self._stage.store.require_session(SESSION)
        try:
            if stands(session, asked.wish):
                return
        except VerbRefused:
            assert self.model.state in SESSION_FINAL or self.model.wish == "cancel"
            return
        if self._is_live:
            # Of another process than before the rest.
            assert self._stage.coordinator.wish(asked).get(timeout=BOUND_SECONDS).taken
            return
        _, draft = wished(session, asked, now_ms, self._stage.store.epoch)
        self._stage.store.journal.commit(draft).result(BOUND_SECONDS)
        self._rest()
        self._run()

    def _retry(self, place: int) -> None:
        self._rest()
        store = self._stage.store
        failed = [task_id for task_id, task in self.model.tasks.items() if task.state == "failed"]
        if not failed or self.model.recorded == "cancelled" or self.model.wish == "cancel":
            return
        task_id = failed[place % len(failed)]
        if self._is_live:
            assert self._stage.coordinator.retry(task_id).get(timeout=BOUND_SECONDS).taken
            return
        session, tasks = store.require_session(SESSION), list(store.tasks.scan(SESSION))
        now_ms = self._stage.clock.now_ms()
        _, draft = retried(session, tasks, self._team, (task_id,), now_ms, store.epoch)
        store.journal.commit(draft).result(BOUND_SECONDS)
        self._go_on()

    def _rerun(self, step: Rerun) -> None:
        self._rest()
        store = self._stage.store
        phase = self._team.phases[step.place % len(self._team.phases)].name
        if not self.model.may_rerun(phase):
            return
        session, tasks = store.require_session(SESSION), list(store.tasks.scan(SESSION))
        checkpoints = list(store.checkpoints.scan(SESSION))
        plan = plan_rerun(session, tasks, checkpoints, self._team, phase)
        if self._is_live:
            asked = self._stage.coordinator.rerun(plan, interrupt=step.interrupt)
            assert asked.get(timeout=BOUND_SECONDS).taken
            return
        now_ms = self._stage.clock.now_ms()
        draft = rerun(session, tasks, checkpoints, plan, now_ms, store.epoch)
        store.journal.commit(draft).result(BOUND_SECONDS)
        self._go_on()

    def _go_on(self) -> None:
        """Resume a session that has changed at rest, unless it is paused."""
        self._rest()
        if self.model.recorded != "paused":
            self._run()

    def _restart(self, crash: Crash) -> None:
        self._stage.close()
        self._in_flight.clear()
        now_ms = self._stage.clock.now_ms() + round(crash.seconds * 1000)
        self._stage = self._opened(now_ms)
        tokens = crash.recovered_tokens
        self._begin(None if tokens is None else Usage(input_tokens=tokens, basis="provider"))

    def _fail_calls(self, count: int) -> None:
        for _ in range(count):
            while not self._in_flight and self._stage.clock.advance_to_next():
                self._rest()
            self._finish(Finish(0, "fault", 10))
            self._rest()

    def _fail_persona(self, step: Bug) -> None:
        """Send a persona what is no message, now or in the middle of something."""
        task_ids = list(self.model.tasks)
        task_id = task_ids[step.place % len(task_ids)]
        if self._bugs[task_id] > Restart().max_restarts:
            return
        self._bugs[task_id] += 1
        if self._bugs[task_id] > Restart().max_restarts:
            self.model.doomed.add(task_id)
        self.model.failing.add(task_id)
        self._strike(step.transitions, persona_address(SESSION, task_id))

    def _fail_coordinator(self, step: Fall) -> None:
        """Send the coordinator what is no message; not so often that it is set aside."""
        if self._falls == FAILURES_MAX - 1:
            return
        self._falls += 1
        self._bugs[SESSION] += 1
        self.model.fall()
        self._strike(step.transitions, coordinator_address(SESSION))

    def _strike(self, transitions: int, address: str) -> None:
        strike = partial(self._stage.system.deliver, address, b"\xc1")
        if transitions:
            self._journal.ambush = (transitions, strike)
        else:
            strike()

    def _stop(self) -> None:
        self._rest()
        if not self.model.over:
            self._stage.coordinator.halt().get(timeout=BOUND_SECONDS)
            self._halted = True
        while self._in_flight:
            self._finish(Finish(0, "interrupted", 5))
        self._rest()
        self._restart(Crash(None, 0.0))

    def _finish(self, step: Finish) -> None:
        if not self._in_flight:
            return
        call_id = list(self._in_flight)[step.place % len(self._in_flight)]
        order = self._in_flight.pop(call_id)
        outcome = msgspec.structs.replace(
            OUTCOMES[step.ending], usage=Usage(input_tokens=step.tokens)
        )
        self.model.outcomes[order.task_id, order.ordinal] = outcome
        self._stage.engines.finish(call_id, outcome)

    def _rest(self) -> None:
        """Wait until nothing moves any more, then compare; bury a process that has died."""
        for _ in range(ROUNDS_TO_REST_MAX):
            appended = self._journal.appended
            self._stage.store.journal.commit(Transition()).result(BOUND_SECONDS)
            # What had been handed in has been delivered. If nobody has anything to do now, and
            # nothing was handed in since, then nothing is under way anywhere.
            if not self._at_rest(appended):
                continue
            self._take_orders()
            if not self._stop_calls():
                break
        else:
            raise AssertionError("the system does not come to rest")
        assert self._stage.escalations == []
        self._compare()
        if self._journal.dead:
            self._restart(self._after_death)

    def _stop_calls(self) -> bool:
        """End the calls that are to stop; False if there is none."""
        stopping, self._engines.stopping = self._engines.stopping, []
        self.model.excused |= self._engines.excused
        # One that was asked to stop may have been killed at the same time.
        found = [call_id for call_id in dict.fromkeys(stopping) if call_id in self._in_flight]
        for call_id in found:
            place = list(self._in_flight).index(call_id)
            self._finish(Finish(place, "interrupted", 5))
        return bool(found)

    def _at_rest(self, appended: int) -> bool:
        """Look at all actors at once, on their own lane, between two turns."""
        seen: Future[tuple[list[ActorDump], int]] = Future()
        self._stage.lane.call_soon(
            lambda: seen.set_result((self._stage.system.dump_actors(), self._journal.appended))
        )
        actors, appended_by_now = seen.result(BOUND_SECONDS)
        for actor in actors:
            task_id = actor.address.rpartition("/")[2]
            assert actor.restarts <= self._bugs[task_id], f"{actor} failed by itself"
        return appended == appended_by_now and all(actor.state == "idle" for actor in actors)

    def _compare(self) -> None:
        for event in self._stage.store.events.scan(SESSION, after=self._sequence):
            self._sequence += 1
            assert event.sequence == self._sequence
            self.model.observe(event)
        self._take_orders()
        self._forget_given_up()
        self._compare_tasks()
        self._compare_ledger()
        self._compare_breakers()
        self.model.stopped = self.model.wish != "run" or bool(self.model.rerun_from)
        at_rest = self.model.over or not self._is_live
        if not (self._journal.dead or self._halted or at_rest or self.model.stopped):
            self._compare_waits()

    def _take_orders(self) -> None:
        """Note the calls that left: each once, each durable before."""
        orders = self._stage.engines.started
        while orders:
            order = orders.pop(0)
            assert order.call_id not in self._calls_seen, f"{order} ran twice"
            self._calls_seen.add(order.call_id)
            self._in_flight[order.call_id] = order
            call = self._stage.store.calls.get(SESSION, bytes.fromhex(order.call_id))
            assert call is not None
            assert call.task_id == order.task_id
            # A persona that failed right after has given the call up by now.
            assert call.state == "open" or order.task_id in self.model.failing
            assert call.reserved_tokens == order.token_budget

    def _forget_given_up(self) -> None:
        """Drop the calls that a persona gave up when it failed."""
        open_calls = {(call.task_id, call.ordinal) for call in self.model.in_flight()}
        for call_id, order in list(self._in_flight.items()):
            if (order.task_id, order.ordinal) not in open_calls:
                assert order.task_id in self.model.failing
                del self._in_flight[call_id]

    def _compare_tasks(self) -> None:
        store, model = self._stage.store, self.model
        session = store.require_session(SESSION)
        assert session.state == model.recorded
        for record in store.tasks.scan(SESSION):
            task = model.tasks[record.task_id]
            assert (record.state, record.tokens_used) == (task.state, task.tokens)
            assert (record.round, record.attempt, record.ordinal) == (
                task.round,
                task.attempt,
                task.ordinal,
            )
            assert record.deadline_ms == task.deadline_ms
            if record.state != "queued":
                assert record.waits_for == task.waits_for
            attempts = list(store.attempts.scan(SESSION, record.task_id))
            assert [row.ordinal for row in attempts] == list(range(1, task.ordinal + 1))
            assert sum(row.tokens for row in attempts) == task.tokens
            assert all(row.state != "open" for row in attempts[:-1])
        names = [row.phase for row in store.checkpoints.scan(SESSION)]
        assert names == ["init", *model.recorded_phases]

    def _compare_ledger(self) -> None:
        """Hold the counters against the oracle, and against the rows they are the sum of."""
        calls = list(self._stage.store.calls.scan(SESSION))
        places = Counter((call.task_id, call.round, call.attempt) for call in calls)
        assert all(count == 1 for count in places.values())
        records = {row.persona_id: row for row in self._stage.store.budgets.scan(SESSION)}
        for persona_id, budget in self.model.budgets.items():
            mine = [call for call in calls if call.persona_id == persona_id]
            closed = [call for call in mine if call.state != "open"]
            held = sum(call.reserved_tokens for call in mine if call.state == "open")
            assert sum(call.input_tokens + call.output_tokens for call in closed) == budget.spent
            assert held == budget.held
            record = records.get(persona_id)
            if record is None:
                assert mine == []
            else:
                assert (record.spent_tokens, record.held_tokens) == (budget.spent, budget.held)
                assert record.limit_tokens == budget.limit

    def _compare_breakers(self) -> None:
        for name, breaker in self.model.breakers.items():
            record = self._stage.store.breakers.get(name)
            if record is None:
                assert (breaker.recorded, breaker.failures) == ("closed", 0)
            else:
                assert record.state in breaker.on_record
                assert record.failures == breaker.failures
                retry_at_ms = None if record.state == "closed" else breaker.retry_at_ms
                assert record.retry_at_ms == retry_at_ms

    def _compare_waits(self) -> None:
        """At rest, whoever waits has a reason to, and whoever could go on has done so."""
        for name, breaker in self.model.breakers.items():
            proxy = BreakerProxy(LocalChannel(self._stage.system), name)
            assert proxy.status().get(timeout=BOUND_SECONDS).state == breaker.state
        status = self._stage.coordinator.status().get(timeout=BOUND_SECONDS)
        in_flight = self.model.in_flight()
        assert status.in_flight == len(in_flight), "a slot is lost"
        assert {(call.task_id, call.ordinal) for call in in_flight} == {
            (order.task_id, order.ordinal) for order in self._in_flight.values()
        }
        free = len(in_flight) < self._team.max_parallel_workers
        kept: Counter[str] = Counter()
        for row in status.tasks:
            task = self.model.tasks[row.task_id]
            if row.waits_for == "slot" and task.waits_for == "budget":
                # It has been woken, and what it needs is kept for it.
                kept[task.persona.persona_id] += need_tokens(row.task_id)
        for row in status.tasks:
            task = self.model.tasks[row.task_id]
            assert row.state == task.state
            if row.waits_for == "slot":
                assert not free, f"{task} waits for a slot while there are free ones"
            elif task.state == "queued":
                assert row.waits_for == "contract"
                assert not self.model.may_begin(task), f"{task} waits for what is done"
            else:
                assert row.waits_for == task.waits_for
                assert self._is_true(task, kept), f"{task} waits for nothing"

    def _is_true(self, task: ModelTask, kept: Counter[str]) -> bool:
        """Tell whether what a task waits for has yet to come."""
        deadline_ms = task.deadline_ms
        match task.waits_for:
            case "deadline":
                return deadline_ms is not None and deadline_ms > self._stage.clock.now_ms()
            case "breaker":
                closed = self.model.breakers[task.persona.engine].state == "closed"
                return not closed and deadline_ms is not None
            case "budget":
                persona_id = task.persona.persona_id
                held = self.model.budgets[persona_id].held + kept[persona_id]
                return held > 0 and not self.model.fits(task, kept[persona_id])
            case "call":
                return task.call is not None and task.call.epoch == self.model.epoch
            case _:
                return task.state in TASK_FINAL or task.state == "help_needed"
