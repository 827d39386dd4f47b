"""Retries against a model that counts for itself; what survives a crash are stored records."""

from itertools import pairwise
from typing import Final, get_args

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from maestro_actors.engine import FailureClass, Outcome, Usage
from maestro_actors.tasks import steps
from maestro_actors.tasks.attempt import Ending
from maestro_actors.tasks.retry import PERMANENT
from maestro_actors.tasks.task import Assignment, Task
from maestro_actors.team import Contract, Persona, RetryPolicy
from maestro_storage.records import AttemptRecord, TaskRecord
from maestro_storage.transition import Transition

PASSING: Final = sorted(set(get_args(FailureClass)) - PERMANENT - {"interrupted", "stuck"})
"""Without "stuck", which ends a round before its time; full rounds are what is modelled."""
CONTRACT: Final = Contract(
    id="c1", name="c1", phase="build", provider_persona_id="dev", deliverables=()
)

POLICIES: Final = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 4),
    max_rounds=st.integers(1, 3),
    backoff_seconds=st.sampled_from([0.0, 1.0, 7.5]),
    round_backoff_seconds=st.lists(st.sampled_from([0.0, 5.0, 20.0]), max_size=3).map(tuple),
)


class TaskMachine(RuleBasedStateMachine):
    """One task through failures, waits and crashes; `rows` is all that a crash leaves."""

    @initialize(
        policy=POLICIES,
        seed=st.integers(0, 2**53),
        gives_up=st.booleans(),
    )
    def begin(self, policy: RetryPolicy, seed: int, gives_up: bool) -> None:
        self.policy = policy
        persona = Persona(
            persona_id="dev", engine="e", retry=self.policy, give_up_on_failure=gives_up
        )
        assignment = Assignment("s-1", "r", "/nowhere", None, seed, epoch=1)
        self.task = Task(assignment, persona, CONTRACT)
        self.now_ms = 1_000_000
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.ended = 0
        """Attempts that have come to their end, crashes included."""
        self.asked_ms = 0
        """No attempt before."""
        self.over = ""
        draft = Transition()
        draft.put(
            TaskRecord(
                session_id="s-1",
                task_id="c1",
                phase="build",
                persona_id="dev",
                engine="e",
                state="queued",
                waits_for="slot",
            )
        )
        self.commit(draft)

    def commit(self, draft: Transition) -> None:
        for change in draft.changes:
            assert change.body is not None
            self.rows[change.database, change.key] = change.body

    @property
    def record(self) -> TaskRecord:
        (body,) = [body for (name, _), body in self.rows.items() if name == "tasks"]
        return msgspec.msgpack.decode(body, type=TaskRecord)

    @property
    def attempts(self) -> list[AttemptRecord]:
        bodies = [body for (name, _), body in sorted(self.rows.items()) if name == "attempts"]
        return [msgspec.msgpack.decode(body, type=AttemptRecord) for body in bodies]

    def running(self) -> bool:
        return self.record.state == "running"

    def waiting(self) -> bool:
        return self.record.state in ("queued", "waiting")

    @precondition(waiting)
    @rule(durable=st.booleans())
    def open(self, durable: bool) -> None:
        """Begin an attempt when it is time; a crash before the commit leaves nothing of it."""
        self.now_ms = max(self.now_ms, self.record.deadline_ms or 0)
        running = steps.begun(self.task, self.record, self.now_ms)
        draft = steps.opening(self.task, running, 100, self.now_ms)
        if durable:
            self.commit(draft)

    @precondition(running)
    @rule(
        failure=st.sampled_from([*PASSING, "interrupted"]),
        durable=st.booleans(),
        retry_after=st.sampled_from([None, 3.0, 60.0]),
    )
    def fail(self, failure: FailureClass, durable: bool, retry_after: float | None) -> None:
        """Fail; a crash before the commit makes it an interrupted attempt."""
        if durable:
            self.close(Outcome(failure=failure, retry_after_seconds=retry_after))
        else:
            self.close(Outcome(failure="interrupted"))

    @precondition(running)
    @rule(failure=st.sampled_from([None, *sorted(PERMANENT)]))
    def end(self, failure: FailureClass | None) -> None:
        """Come to an end that no further attempt follows."""
        self.close(Outcome(usage=Usage(output_tokens=3), failure=failure))

    def close(self, outcome: Outcome) -> None:
        before = self.record
        ending = Ending(outcome, outcome.usage.total, self.now_ms)
        _, draft = steps.closing(self.task, before, ending, self.now_ms)
        self.commit(draft)
        self.ended += 1
        self.asked_ms = self.now_ms + round(1000 * (outcome.retry_after_seconds or 0.0))
        last = self.policy.max_attempts * self.policy.max_rounds
        if outcome.failure is None:
            self.over = "done"
        elif outcome.failure in PERMANENT or self.ended == last:
            gives_up = self.task.persona.give_up_on_failure
            self.over = "failed" if gives_up else "help_needed"

    @rule(seconds=st.sampled_from([0.5, 10.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)

    @invariant()
    def it_has_ended_when_the_model_says_so(self) -> None:
        record = self.record
        if self.over:
            assert record.state == self.over
            assert record.deadline_ms is None
        else:
            assert record.state in ("queued", "waiting", "running")

    @invariant()
    def attempts_are_counted_across_crashes_and_never_exceed_their_limits(self) -> None:
        record, attempts = self.record, self.attempts
        assert record.ordinal == len(attempts) == self.ended + self.running()
        assert [row.ordinal for row in attempts] == list(range(1, len(attempts) + 1))
        size = self.policy.max_attempts
        places = [divmod(number, size) for number in range(len(attempts))]
        assert [(row.round, row.attempt) for row in attempts] == [(r + 1, a + 1) for r, a in places]
        assert len(attempts) <= size * self.policy.max_rounds
        assert len({row.call_id for row in attempts}) == len(attempts)

    @invariant()
    def no_deadline_is_shortened(self) -> None:
        record, attempts = self.record, self.attempts
        if record.state == "waiting":
            assert record.deadline_ms is not None
            assert record.deadline_ms >= self.asked_ms
            last = attempts[-1]
            assert last.finished_ms is not None
            assert record.deadline_ms == last.finished_ms + (last.delay_ms or 0)
        for before, after in pairwise(attempts):
            assert after.started_ms >= (before.finished_ms or 0) + (before.delay_ms or 0)


TestTaskModel = TaskMachine.TestCase
TestTaskModel.settings = settings(max_examples=60, stateful_step_count=30)
