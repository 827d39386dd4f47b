"""What a session may do, as a second opinion: an oracle that replays its history.

It knows the team and how each call ended, takes the events one by one, refuses what must not
happen, and says what the records have to be by now. It shares the plain data of the runtime with
the code under test (team, outcome, records), but none of its decisions.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from maestro_actors.engine import Outcome, Usage
from maestro_actors.team import BreakerPolicy, Contract, Persona, Team
from maestro_storage.records import (
    SESSION_FINAL,
    TASK_FINAL,
    BreakerState,
    EventRecord,
    SessionState,
    TaskState,
    WaitsFor,
    Wish,
)

POLICY: Final = BreakerPolicy(jitter=0.0)
PERMANENT: Final = frozenset({"limit", "refused", "permanent"})
SESSION_ENDS: Final[dict[str, SessionState]] = {
    "session_done": "done",
    "session_failed": "failed",
    "session_help_needed": "help_needed",
}


def need_tokens(task_id: str) -> int:
    """Return what a call of task `c0`, `c1` ... reserves: two sizes, so that one may still fit."""
    return 60 if int(task_id[1:]) % 2 else 100


@dataclass(eq=False)
class ModelCall:
    """A call that is open, or that a crash left open."""

    task_id: str
    ordinal: int
    reserved: int
    epoch: int


@dataclass(eq=False)
class ModelTask:
    """Where a task has to stand."""

    contract: Contract
    persona: Persona
    state: TaskState = "queued"
    waits_for: WaitsFor = "contract"
    deadline_ms: int | None = None
    ready_ms: int = 0
    """No attempt before: the end of the last one and its pause."""
    round: int = 1
    extra: int = 0
    """Rounds that a person has given it on top."""
    attempt: int = 0
    ordinal: int = 0
    tokens: int = 0
    call: ModelCall | None = None
    left: tuple[object, ...] = ()
    """Files and gaps that its last attempt with something missing has left."""


@dataclass(eq=False)
class ModelBudget:
    """The ledger of one persona."""

    limit: int
    spent: int = 0
    held: int = 0


@dataclass(eq=False)
class ModelBreaker:
    """A circuit breaker, by the book."""

    policy: BreakerPolicy = POLICY
    state: BreakerState = "closed"
    recorded: BreakerState = "closed"
    """By the last call. Differs from `state` only after a restart, which opens what was half open.
    """
    failures: int = 0
    opened_count: int = 0
    retry_at_ms: int = 0
    probe: ModelCall | None = None

    @property
    def on_record(self) -> frozenset[BreakerState]:
        """What the record may say: refusals are written with the state there is by then."""
        return frozenset((self.recorded, self.state))

    def restart(self) -> None:
        """Forget the probe, which died with its process."""
        if self.state == "half_open":
            self.state, self.probe = "open", None

    def open_call(self, call: ModelCall, at_ms: int) -> str | None:
        """Note a call that leaves; return the event that must come with it."""
        if self.state == "closed":
            return None
        assert self.state == "open", f"{call} leaves while a probe is out"
        assert at_ms >= self.retry_at_ms, f"{call} leaves while the breaker is open"
        self.state = self.recorded = "half_open"
        self.probe = call
        return "breaker_probed"

    def close_call(self, call: ModelCall, answered: bool | None, at_ms: int) -> str | None:
        """Note the end of a call; return the event that must come with it."""
        before = (self.state, self.failures)
        if call is self.probe:
            self.probe = None
            if answered:
                self.state, self.failures, self.opened_count = "closed", 0, 0
            elif answered is None:
                self.state = "open"
            else:
                self.failures += 1
                self._open(at_ms)
        elif self.state == "closed" and answered is not None:
            self.failures = 0 if answered else self.failures + 1
            if self.failures == self.policy.failures_max:
                self._open(at_ms)
        if before != (self.state, self.failures):
            self.recorded = self.state
        if before[0] == self.state:
            return None
        return "breaker_closed" if self.state == "closed" else "breaker_opened"

    def _open(self, at_ms: int) -> None:
        pause = min(self.policy.reset_seconds * 2**self.opened_count, self.policy.reset_max_seconds)
        self.state = "open"
        self.opened_count += 1
        self.retry_at_ms = at_ms + int(pause * 1000)


class SessionModel:
    """Follows one session by its events."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.tasks = {
            contract.id: ModelTask(contract, team.personas[contract.provider_persona_id])
            for contract in team.contracts
        }
        self.budgets = {name: ModelBudget(who.token_budget) for name, who in team.personas.items()}
        self.breakers = {persona.engine: ModelBreaker() for persona in team.personas.values()}
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        """How each call that was finished ended, by task and ordinal."""
        self.failing: set[str] = set()
        """Tasks whose persona has failed in this process, and may have lost an answer by that."""
        self.doomed: set[str] = set()
        """Tasks whose persona may have failed too often in this process to be restarted."""
        self.falls = 0
        """How often the coordinator may have failed in this process, and that is not told yet."""
        self.recovered: dict[int, Usage | None] = {}
        """What the engines know of interrupted calls, by epoch."""
        self.recorded_phases: list[str] = []
        self.planned: list[str] = []
        """Phases of the current stretch, once the plan has changed; empty for all."""
        self.state: SessionState = "running"
        self.recorded: SessionState = "running"
        """Differs from `state` after a restart, until nothing can run again."""
        self.wish: Wish = "run"
        self.rerun_from = ""
        self.queued = False
        """What is to run again once nothing is in flight."""
        self.stopped = False
        """A wish other than to run was durable when everything was last at rest."""
        self.excused: set[tuple[str, int]] = set()
        """Calls that were stopped because the session was to stop, by task and ordinal."""
        self.epoch = 0
        self._expected: deque[tuple[str, str]] = deque()
        """Events that must come next, with the task or engine they are about."""
        self._blocking = False
        self._alerts: set[tuple[str, int]] = set()

    def restart(self, epoch: int, recovered: Usage | None) -> None:
        """Note that a new process has taken over."""
        assert not self._expected, f"half a transition became durable: {self._expected} is missing"
        self.epoch = epoch
        self.recovered[epoch] = recovered
        self.failing.clear()
        self.doomed.clear()
        self.falls = 0
        for breaker in self.breakers.values():
            breaker.restart()
        if self.state == "help_needed":
            self.state = "running"

    def fall(self) -> None:
        """Note that the coordinator fails: whatever is in flight may have lost its answer."""
        self.falls += 1
        self.failing |= set(self.tasks)

    def resumed(self) -> None:
        """Note that somebody runs the session again."""
        assert self.state not in SESSION_FINAL
        self.state = "running"

    @property
    def over(self) -> bool:
        """Whether nothing more can run."""
        return self.state != "running"

    def in_flight(self) -> list[ModelCall]:
        """Return the open calls of this process."""
        calls = [task.call for task in self.tasks.values() if task.call is not None]
        return [call for call in calls if call.epoch == self.epoch]

    def may_begin(self, task: ModelTask) -> bool:
        """Whether everything before a task is done."""
        phase = next(phase for phase in self.team.phases if phase.name == task.contract.phase)
        return all(name in self.recorded_phases for name in phase.after) and all(
            self.tasks[name].state == "done" for name in task.contract.after
        )

    def fits(self, task: ModelTask, kept_tokens: int = 0) -> bool:
        """Whether the budget has room for a call of the task beside what is kept for others."""
        budget = self.budgets[task.persona.persona_id]
        taken = budget.spent + budget.held + kept_tokens
        return taken + need_tokens(task.contract.id) <= budget.limit

    def observe(self, event: EventRecord) -> None:  # noqa: C901, PLR0911, PLR0912, PLR0915 - a case a kind
        """Take the next event of the history; AssertionError if it must not happen."""
        if event.kind == "checkpoints_pruned":
            assert self.over, "a session that goes on needs its checkpoints"
            return
        if event.kind in _ORDERS:
            self._ordered(event)
            return
        if event.kind == "checkpoint_taken":
            # By itself, at any time.
            return
        if event.kind == "plan_changed":
            assert self.state in ("running", "paused", "help_needed"), "what has ended has no plan"
            self.state = self.recorded = "running"
            self.planned = str(event.data["phases"]).split(", ") if event.data["phases"] else []
            return
        assert not self.over, f"{event.kind} after the session ended"
        assert event.epoch == self.epoch
        if event.kind == "engine_changed":
            # Between two runs: nothing else of the session has been told in this process.
            assert not self.in_flight()
            return
        if event.kind == "coordinator_failed":
            self._has_fallen(event)
            return
        subject = str(event.data["engine"]) if event.kind in _BREAKER_EVENTS else event.task_id
        if self._expected:
            assert (event.kind, subject) == self._expected.popleft()
            return
        if event.kind == "budget_alert":
            self._alert_raised(event)
            return
        assert not self._blocking or event.kind in ("task_blocked", "session_failed")
        match event.kind:
            case "session_started":
                assert event.sequence == 1
            case "attempt_started":
                self._attempt_started(event)
            case "attempt_succeeded" | "attempt_failed" | "attempt_interrupted":
                self._attempt_closed(event)
            case "task_waiting":
                self._task_waiting(event)
            case "task_failed" | "task_help_needed":
                if event.task_id in self.doomed and event.data["failure"] == "permanent":
                    self._task_abandoned(event)
                else:
                    self._task_unaffordable(event)
            case "task_blocked":
                self._task_blocked(event)
            case "phase_finished":
                self._phase_finished(str(event.data["phase"]))
            case "session_paused":
                self._session_paused(event)
            case "task_cancelled":
                self._task_cancelled(event)
            case "session_cancelled":
                assert self.wish == "cancel"
                assert all(task.state in TASK_FINAL for task in self.tasks.values())
                self._come_to("cancelled")
            case "session_done" | "session_failed" | "session_help_needed":
                self._session_ended(SESSION_ENDS[event.kind])
            case _:
                raise AssertionError(f"{event.kind} of {subject} out of the blue")

    def _has_fallen(self, event: EventRecord) -> None:
        assert not self._expected, f"half a transition: {self._expected} is missing"
        self.falls -= 1
        assert self.falls >= 0, f"nothing was wrong with it: {event.data}"

    def _attempt_started(self, event: EventRecord) -> None:
        task = self.tasks[event.task_id]
        assert task.state in ("queued", "waiting"), f"{task} is begun"
        assert not self.stopped, f"{task} is begun although the session is to {self.wish}"
        assert not self.queued, f"{task} is begun although the session is queued"
        assert self.may_begin(task), f"{task} is begun before its predecessors are done"
        assert not self.planned or task.contract.phase in self.planned, f"{task} is not planned"
        assert event.at_ms >= task.ready_ms, f"{task} is begun before its deadline"
        assert (event.data["round"], event.data["attempt"]) == (task.round, task.attempt + 1)
        assert task.attempt < task.persona.retry.max_attempts, f"{task} has no attempt left"
        # Whoever orders a retry, or stops an attempt, gives a round on top.
        assert task.round <= task.persona.retry.max_rounds + task.extra, f"{task} has no round left"
        assert len(self.in_flight()) < self.team.max_parallel_workers, "there is no free slot"
        reserved = need_tokens(event.task_id)
        assert event.data["reserved_tokens"] == reserved
        assert self.fits(task), f"{task} overdraws {self.budgets[task.persona.persona_id]}"
        self.budgets[task.persona.persona_id].held += reserved
        task.ordinal += 1
        task.attempt += 1
        task.state, task.waits_for, task.deadline_ms = "running", "call", None
        task.call = ModelCall(event.task_id, task.ordinal, reserved, event.epoch)
        probed = self.breakers[task.persona.engine].open_call(task.call, event.at_ms)
        if probed is not None:
            self._expected.append((probed, task.persona.engine))

    def _attempt_closed(self, event: EventRecord) -> None:
        task, call = self.tasks[event.task_id], self.tasks[event.task_id].call
        assert call is not None, f"{event.kind} of {task}, which has no open call"
        outcome, tokens = self._ending(call, event)
        failure = outcome.failure or ("missing_deliverable" if outcome.missing else "")
        if failure == "missing_deliverable":
            left = (outcome.artifacts, outcome.missing)
            failure = "stuck" if left == task.left else failure
            task.left = left
        ended = {"": "succeeded", "interrupted": "interrupted"}.get(failure, "failed")
        assert event.kind == f"attempt_{ended}"
        assert event.data["failure"] == failure
        assert event.data["tokens"] == tokens
        budget = self.budgets[task.persona.persona_id]
        budget.held -= call.reserved
        budget.spent += tokens
        task.tokens += tokens
        task.call = None
        if failure:
            excused = self._is_excused(call, failure, event)
            self._retry(task, failure, outcome.retry_after_seconds or 0.0, event, excused=excused)
        else:
            assert event.data["delay_ms"] is None
            self._end_task(task, "done")
        answered = None if failure == "interrupted" else not outcome.engine_fault
        moved = self.breakers[task.persona.engine].close_call(call, answered, event.at_ms)
        if task.state != "waiting":
            self._expected.append((f"task_{task.state}", event.task_id))
        if moved is not None:
            self._expected.append((moved, task.persona.engine))

    def _alert_raised(self, event: EventRecord) -> None:
        """Hold an alert against what its persona has spent: once for each share."""
        persona_id, permille = str(event.data["persona_id"]), event.data["permille"]
        assert isinstance(permille, int)
        budget = self.budgets[persona_id]
        assert (event.data["spent"], event.data["limit"]) == (budget.spent, budget.limit)
        assert budget.spent * 1000 >= budget.limit * permille
        assert (persona_id, permille) not in self._alerts, f"{permille} of {persona_id} again"
        self._alerts.add((persona_id, permille))

    def _ending(self, call: ModelCall, event: EventRecord) -> tuple[Outcome, int]:
        """Return how a call ended, and what is to be booked for it."""
        outcome = self.outcomes.get((call.task_id, call.ordinal))
        # A persona that failed may have done so before the answer came, or after.
        heard = call.task_id not in self.failing or (
            outcome is not None
            and (event.kind == "attempt_interrupted") == (outcome.failure == "interrupted")
            and event.data["tokens"] == outcome.usage.total
        )
        if call.epoch == self.epoch and heard:
            assert outcome is not None, f"{event.kind} of {call}, which nobody has finished"
            return outcome, outcome.usage.total
        usage = self.recovered[self.epoch]
        return Outcome(failure="interrupted"), call.reserved if usage is None else usage.total

    def _retry(
        self, task: ModelTask, failure: str, pause: float, event: EventRecord, *, excused: bool
    ) -> None:
        """Hold the pause after a failed attempt against the policy of the persona."""
        retry = task.persona.retry
        last_of_round = task.attempt == retry.max_attempts
        if failure == "stuck":
            # The same again: the rest of the round is not worth it, nor is a round after one that
            # brought nothing new from its first attempt on.
            last_of_round = True
        spent = last_of_round and task.round >= retry.max_rounds
        if excused and spent:
            assert event.data["delay_ms"] == 0
            task.extra += 1
            task.round, task.attempt = task.round + 1, 0
            task.state, task.waits_for = "waiting", "deadline"
            task.ready_ms = task.deadline_ms = event.at_ms
            return
        if failure in PERMANENT or spent or (failure == "stuck" and task.attempt == 1):
            assert event.data["delay_ms"] is None, f"{task} has nothing left to try"
            self._end_task(task, "failed" if task.persona.give_up_on_failure else "help_needed")
            return
        if last_of_round:
            pauses = retry.round_backoff_seconds or (0.0,)
            low = pauses[min(task.round, len(pauses)) - 1]
            high = low * 1.25
            task.round, task.attempt = task.round + 1, 0
        elif failure == "interrupted":
            low = high = 0.0
        else:
            low = min(retry.backoff_seconds * 2 ** (task.attempt - 1), retry.backoff_max_seconds)
            high = min(low * 1.25, retry.backoff_max_seconds)
        delay_ms = event.data["delay_ms"]
        assert isinstance(delay_ms, int), f"{task} is not tried again"
        assert max(low, pause) * 1000 - 1 <= delay_ms <= max(high, pause) * 1000 + 1
        task.state, task.waits_for = "waiting", "deadline"
        task.ready_ms = task.deadline_ms = event.at_ms + delay_ms

    def _is_excused(self, call: ModelCall, failure: str, event: EventRecord) -> bool:
        """Whether an attempt was cut short by a wish; a persona that failed has forgotten it."""
        if failure != "interrupted":
            return False
        if call.epoch != self.epoch:
            # A crash counts, unless the session is cancelled: nobody is to be asked for help then.
            excused = self.wish == "cancel"
        else:
            # One who takes its place treats it as after a crash.
            excused = (call.task_id, call.ordinal) in self.excused or self.wish == "cancel"
        return excused and (call.task_id not in self.failing or event.data["delay_ms"] is not None)

    def _end_task(self, task: ModelTask, state: TaskState) -> None:
        task.state, task.deadline_ms = state, None
        task.waits_for = "person" if state == "help_needed" else "nothing"

    def _task_waiting(self, event: EventRecord) -> None:
        task = self.tasks[event.task_id]
        assert task.state in ("queued", "waiting")
        assert event.at_ms >= task.ready_ms, f"{task} asked for a call before its deadline"
        task.state = "waiting"
        if event.data["waits_for"] == "limit":
            assert event.data["limit"], "it does not say for which"
            task.waits_for, task.deadline_ms = "limit", None
        elif event.data["waits_for"] == "breaker":
            deadline_ms = event.data["deadline_ms"]
            assert isinstance(deadline_ms, int)
            task.waits_for, task.deadline_ms = "breaker", deadline_ms
        else:
            assert event.data == {**event.data, "waits_for": "budget", "deadline_ms": None}
            task.waits_for, task.deadline_ms = "budget", None

    def _task_unaffordable(self, event: EventRecord) -> None:
        task = self.tasks[event.task_id]
        budget = self.budgets[task.persona.persona_id]
        assert task.state in ("queued", "waiting")
        assert event.data["failure"] == "limit"
        assert budget.spent + need_tokens(event.task_id) > budget.limit, f"{budget} could pay"
        gives_up = task.persona.give_up_on_failure
        assert event.kind == ("task_failed" if gives_up else "task_help_needed")
        self._end_task(task, "failed" if gives_up else "help_needed")

    def _task_abandoned(self, event: EventRecord) -> None:
        task = self.tasks[event.task_id]
        assert task.state in ("queued", "waiting"), f"{task} is abandoned with an open call"
        assert event.kind == "task_help_needed"
        self._end_task(task, "help_needed")

    def _task_blocked(self, event: EventRecord) -> None:
        task = self.tasks[event.task_id]
        assert task.state == "queued"
        assert not self.may_begin(task), f"{task} could have been begun"
        self._end_task(task, "blocked")
        self._blocking = True

    def _phase_finished(self, name: str) -> None:
        phase = next(phase for phase in self.team.phases if phase.name == name)
        assert name not in self.recorded_phases
        assert all(before in self.recorded_phases for before in phase.after)
        for task in self.tasks.values():
            assert task.contract.phase != name or task.state == "done"
        self.recorded_phases.append(name)

    def _session_paused(self, event: EventRecord) -> None:
        assert event.data["reason"], "a session pauses for a reason"
        assert all(task.call is None for task in self.tasks.values()), "something is in flight"
        assert any(task.state not in TASK_FINAL for task in self.tasks.values()), "all has ended"
        assert self.wish == "pause", "nobody has asked for a pause"
        self._come_to("paused")

    def _come_to(self, state: SessionState) -> None:
        self.state = self.recorded = state
        self.wish, self.stopped, self.rerun_from = "run", False, ""

    def _task_cancelled(self, event: EventRecord) -> None:
        task = self.tasks[event.task_id]
        assert self.wish == "cancel"
        assert task.state not in TASK_FINAL
        assert task.call is None, f"{task} is cancelled with an open call"
        self._end_task(task, "cancelled")

    def _ordered(self, event: EventRecord) -> None:
        """Take what a person has ordered; what is done about it follows."""
        assert not self._expected
        assert self.state != "cancelled", f"{event.kind} after the session was cancelled"
        match event.kind:
            case "pause_asked" | "cancel_asked":
                assert self.state not in SESSION_FINAL
                assert self.wish != "cancel" or event.kind == "cancel_asked"
                self.wish = "pause" if event.kind == "pause_asked" else "cancel"
                self.state = "running"
            case "session_resumed":
                assert self.wish == "pause" or self.recorded == "paused"
                self.wish, self.stopped = "run", self.stopped and bool(self.rerun_from)
                self.state = "running"
                if self.recorded == "paused":
                    self.recorded = "running"
            case "session_queued" | "session_admitted":
                assert self.queued == (event.kind == "session_admitted")
                assert not self.in_flight()
                self.queued = not self.queued
            case "task_retried":
                self._task_retried(self.tasks[event.task_id])
            case "rerun_asked":
                assert self.may_rerun(str(event.data["from_phase"]))
                self.rerun_from = str(event.data["from_phase"])
            case "session_rerun":
                self._rerun(str(event.data["from_phase"]))

    def _task_retried(self, task: ModelTask) -> None:
        assert task.state == "failed"
        self._requeue(task)
        for other in self.tasks.values():
            if other.state == "blocked" and self._comes_after(other, task):
                other.state, other.waits_for = "queued", "contract"
        if self.recorded == "failed":
            self.recorded = self.state = "running"
        self._blocking = False

    def _requeue(self, task: ModelTask) -> None:
        assert task.call is None
        task.extra += task.attempt > 0
        task.round += task.attempt > 0
        task.attempt = 0
        task.state, task.waits_for = "queued", "contract"
        task.deadline_ms, task.ready_ms, task.left = None, 0, ()

    def may_rerun(self, name: str) -> bool:
        """Whether a phase and all after it can be ordered to run again."""
        first = self.rerun_from or name
        dead = self.recorded == "cancelled" or self.wish == "cancel"
        return not dead and name in self._phases_from(first)

    def _rerun(self, name: str) -> None:
        assert all(task.call is None for task in self.tasks.values())
        assert name == (self.rerun_from or name)
        self.rerun_from, self.stopped = "", self.stopped and self.wish != "run"
        names = self._phases_from(name)
        for task in self.tasks.values():
            if task.contract.phase in names:
                self._requeue(task)
        self.recorded_phases = [phase for phase in self.recorded_phases if phase not in names]
        if self.recorded != "paused":
            self.recorded = self.state = "running"
        self._blocking = False

    def _phases_from(self, name: str) -> set[str]:
        names = {name}
        for _ in self.team.phases:
            names |= {phase.name for phase in self.team.phases if names & set(phase.after)}
        return names

    def _comes_after(self, task: ModelTask, first: ModelTask) -> bool:
        if task.contract.phase != first.contract.phase:
            return task.contract.phase in self._phases_from(first.contract.phase)
        return any(
            name == first.contract.id or self._comes_after(self.tasks[name], first)
            for name in task.contract.after
        )

    def _session_ended(self, state: SessionState) -> None:
        states = {task.state for task in self.tasks.values()}
        assert self.wish != "cancel" or state == "done"
        if states <= {"done"} and len(self.recorded_phases) == len(self.team.phases):
            assert state == "done"
        elif "help_needed" in states:
            assert state == "help_needed"
            for task in self.tasks.values():
                assert task.state in TASK_FINAL | {"help_needed"} or not self.may_begin(task)
        else:
            assert state == "failed"
            assert "failed" in states
            assert states <= TASK_FINAL
        self._come_to(state)


_ORDERS: Final = (
    "pause_asked",
    "cancel_asked",
    "session_resumed",
    "session_queued",
    "session_admitted",
    "task_retried",
    "rerun_asked",
    "session_rerun",
)
_BREAKER_EVENTS: Final = ("breaker_probed", "breaker_opened", "breaker_closed")
