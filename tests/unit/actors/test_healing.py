"""Strategies: what the next attempt is told and asked for, by the class of the failure."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from maestro_actors.checks import CheckResult, PythonCompiles
from maestro_actors.engine import Artifact, FailureClass, Outcome, Usage
from maestro_actors.healing import (
    BUILT_IN,
    SENTENCE_CHARACTERS_MAX,
    Case,
    Remedy,
    Treatment,
    treat,
)
from maestro_actors.help.answer import Answer
from maestro_actors.help.posting import decode_ticket
from maestro_actors.messages import CallDenied, encode
from maestro_actors.tasks import steps
from maestro_actors.tasks.diagnosis import EVIDENCE_MAX, STUCK
from maestro_actors.tasks.task import Assignment, Task
from maestro_actors.team import Contract, Deliverable, RetryPolicy
from maestro_storage.records import TaskRecord
from staging import MALFORMED, SESSION, TRANSIENT, Stage, contract, team

TWO = msgspec.structs.replace(
    contract("c1"),
    deliverables=(
        Deliverable(name="code", artifacts=("a.py",)),
        Deliverable(name="tests", artifacts=("b.py",)),
    ),
    checks=(PythonCompiles(),),
)
A = Artifact(path="a.py", size_bytes=1, sha256="aa", changed=True)
B = Artifact(path="b.py", size_bytes=1, sha256="bb", changed=True)


def compiles(verdict: Any = "pass") -> CheckResult:
    return CheckResult(
        index=0,
        name="python_compiles",
        kind="python_compiles",
        required=True,
        verdict=verdict,
        score=0.0,
        expected="Python that compiles in every file",
        got="a.py: line 2 column 7: invalid syntax",
        evidence={"a.py": "aa"},
    )


HALF = Outcome(
    usage=Usage(output_tokens=5),
    artifacts=(A,),
    missing=("b.py",),
    evidence=("deliverable 'tests': no file matches 'b.py'",),
    checks=(compiles(),),
)
WRONG = Outcome(usage=Usage(output_tokens=5), artifacts=(A, B), checks=(compiles("fail"),))
WHOLE = Outcome(usage=Usage(output_tokens=5), artifacts=(A, B), checks=(compiles(),))


def case(failure: FailureClass, outcome: Outcome = HALF, **changes: Any) -> Case:
    fields: dict[str, Any] = {
        "contract": TWO,
        "outcome": outcome,
        "failure": failure,
        "reasons": (),
        "known": (),
        "scope": (),
        **changes,
    }
    return Case(**fields)


def test_an_attempt_that_lacks_a_part_is_followed_by_one_that_owes_only_that_part() -> None:
    treatment = treat(BUILT_IN, case("missing_deliverable"))

    assert treatment == Treatment(scope=("b.py",), tried=("narrow_scope: 'b.py'",))


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        (TWO, Outcome(missing=("a.py", "b.py"))),
        (TWO, msgspec.structs.replace(HALF, checks=(compiles("fail"),))),
        (TWO, msgspec.structs.replace(HALF, checks=(compiles("error"),))),
        (TWO, Outcome(message="done")),
    ],
    ids=["all missing", "what is there fails", "what is there was not checked", "not looked at"],
)
def test_everything_is_owed_again_unless_the_rest_is_known_to_be_in_order(
    wanted: Contract, outcome: Outcome
) -> None:
    assert treat(BUILT_IN, case("missing_deliverable", outcome, contract=wanted)) == Treatment()


def test_a_check_that_fails_for_want_of_the_missing_part_does_not_widen_the_scope() -> None:
    owed = msgspec.structs.replace(TWO, checks=(PythonCompiles(files=("b.py",)),))
    outcome = msgspec.structs.replace(HALF, checks=(compiles("fail"),))

    assert treat(BUILT_IN, case("missing_deliverable", outcome, contract=owed)).scope == ("b.py",)


@pytest.mark.parametrize(
    "failure", ["transient", "rate_limited", "interrupted", "malformed_output"]
)
def test_an_attempt_that_could_not_act_on_its_feedback_hands_it_on(failure: FailureClass) -> None:
    treatment = treat(BUILT_IN, case(failure, known=("mend line 2",), scope=("b.py",)))

    assert treatment == Treatment(
        advice=("mend line 2",), scope=("b.py",), tried=("keep_feedback",)
    )
    assert treat(BUILT_IN, case(failure)) == Treatment()


class Stranger:
    """A strategy from outside that does what its test says."""

    name = "stranger"
    failures: frozenset[FailureClass] = frozenset({"failed_check", "missing_deliverable"})

    def __init__(self, act: Callable[[Case], Remedy | None]) -> None:
        self._act = act

    def remedy(self, case: Case) -> Remedy | None:
        return self._act(case)


def test_a_strategy_that_raises_is_passed_over_and_that_is_recorded() -> None:
    broken = Stranger(lambda _: Remedy(detail=str(1 // 0)))

    careless = Stranger(lambda _: None)
    # Foreign code is not type-checked.
    careless.failures = None  # type: ignore[assignment]

    treatment = treat((broken, careless, *BUILT_IN), case("missing_deliverable"))

    assert [text[:33] for text in treatment.tried] == [
        "stranger failed: ZeroDivisionErro",
        "stranger failed: TypeError: argum",
        "narrow_scope: 'b.py'",
    ]


def test_what_a_strategy_says_can_be_stored_whatever_it_is() -> None:
    def loud(_: Case) -> Remedy:
        raise ValueError("\ud800" * 9_000)

    odd = Stranger(lambda _: Remedy(advice=("\ud800" * 9_000,), detail="\ud800"))

    treatment = treat((odd, Stranger(loud)), case("failed_check"))

    assert len(encode(treatment)) < 3 * SENTENCE_CHARACTERS_MAX
    assert treatment.tried[0] == "stranger: ?"
    assert treatment.tried[1].startswith("stranger failed: ValueError: ???")


def test_a_scope_has_globs_of_the_contract_alone_and_the_first_one_counts() -> None:
    def scope_of(*globs: str) -> tuple[str, ...]:
        stranger = Stranger(lambda _: Remedy(scope=globs))
        return treat((stranger, *BUILT_IN), case("missing_deliverable")).scope

    assert scope_of("a.py") == ("a.py",)
    assert scope_of("/etc/passwd") == ("b.py",)
    assert scope_of("b.py", "a.py") == ("b.py",)


def test_advice_is_told_once_and_not_without_end() -> None:
    stranger = Stranger(lambda _: Remedy(advice=tuple(str(n % 30) for n in range(60))))

    advice = treat((stranger, stranger), case("failed_check")).advice

    assert len(advice) == EVIDENCE_MAX
    assert advice[-1] == "and 11 more"


PATIENT = RetryPolicy(max_attempts=3, max_rounds=2)


def played(stage: Stage, *outcomes: Outcome, until: str, **persona: Any) -> TaskRecord:
    wanted = team(TWO, retry=PATIENT, **persona)
    stage.engines.outcomes.extend(outcomes)
    stage.create(wanted)
    stage.run(wanted)
    stage.advance_until(until)
    return stage.task()


def test_a_stuck_task_skips_the_rest_of_its_round_and_ends_if_the_next_begins_the_same_way(
    stage: Stage,
) -> None:
    task = played(stage, WRONG, WRONG, WRONG, WHOLE, until="session_failed")

    attempts = stage.attempts()
    assert [(row.round, row.attempt, row.failure) for row in attempts] == [
        (1, 1, "failed_check"),
        (1, 2, "stuck"),
        (2, 1, "stuck"),
    ]
    assert [row.healing for row in attempts] == [(), ("change_approach",), ()]
    assert task.failure == "stuck"
    (reason,) = task.evidence
    assert reason.startswith(f"{STUCK}: check 'python_compiles' failed: ")
    assert task.tokens_used == 15
    third = stage.engines.started[2]
    assert third.feedback == ("two attempts came to the same: do it in another way", reason)
    # It is the persona's work that fails: the engine is well.
    assert stage.store.breakers.get("scripted") is None


def test_a_stuck_task_that_then_changes_its_files_goes_on(stage: Stage) -> None:
    other = msgspec.structs.replace(WRONG, artifacts=(A, Artifact(**_fields(B, sha256="b2"))))
    task = played(stage, WRONG, WRONG, other, WHOLE, until="session_done")

    assert (task.state, task.ordinal) == ("done", 4)
    assert [row.failure for row in stage.attempts()] == [
        "failed_check",
        "stuck",
        "failed_check",
        "",
    ]


def _fields(artifact: Artifact, **changes: Any) -> dict[str, Any]:
    return {**msgspec.structs.asdict(artifact), **changes}


def test_the_scope_travels_in_the_order_also_over_an_attempt_that_did_nothing(
    stage: Stage,
) -> None:
    played(stage, HALF, TRANSIENT, TRANSIENT, WHOLE, until="session_done")

    orders = stage.engines.started
    assert [order.scope for order in orders] == [(), ("b.py",), ("b.py",), ("b.py",)]
    assert orders[1].feedback == HALF.evidence
    assert orders[2].feedback == (*HALF.evidence, "connection reset")
    assert orders[3].feedback == orders[2].feedback, "feedback must not grow by what it outlives"
    assert [row.healing for row in stage.attempts()] == [
        ("narrow_scope: 'b.py'",),
        ("keep_feedback",),
        ("keep_feedback",),
        (),
    ]


def test_a_whole_contract_is_owed_again_once_what_was_missing_is_there_and_fails(
    stage: Stage,
) -> None:
    played(stage, HALF, WRONG, WHOLE, until="session_done")

    assert [order.scope for order in stage.engines.started] == [(), ("b.py",), ()]


def test_what_healing_decided_survives_a_crash(restart: Callable[[], Stage]) -> None:
    stage = restart()
    wanted = team(TWO, retry=PATIENT)
    stage.engines.outcomes.append(HALF)
    stage.create(wanted)
    stage.run(wanted)
    stage.wait_for("attempt_failed")
    stage = restart()
    stage.engines.outcomes.append(WHOLE)

    stage.run(wanted)
    stage.advance_until("session_done")

    (order,) = stage.engines.started
    assert (order.scope, order.feedback) == (("b.py",), HALF.evidence)


def test_two_attempts_are_compared_across_a_crash_between_them(
    restart: Callable[[], Stage],
) -> None:
    stage = restart()
    wanted = team(TWO, retry=PATIENT)
    stage.engines.outcomes.append(WRONG)
    stage.create(wanted)
    stage.run(wanted)
    stage.wait_for("attempt_failed")
    stage = restart()
    stage.engines.outcomes.append(WRONG)

    stage.run(wanted)
    stage.advance_until("attempt_failed")

    assert stage.attempts()[1].failure == "stuck"


def test_history_and_ticket_say_what_healing_did_and_normal_attempts_say_nothing(
    stage: Stage,
) -> None:
    mended = msgspec.structs.replace(WRONG, healing=("strip_code_fences: b.py",))
    played(stage, HALF, MALFORMED, mended, mended, mended, until="session_failed")

    events = [event.data.get("healing") for event in stage.wait_for("attempt_failed")]
    assert events == [
        "narrow_scope: 'b.py'",
        "keep_feedback",
        "strip_code_fences: b.py",
        "strip_code_fences: b.py",
    ]
    (row,) = stage.store.outbox.scan(SESSION)
    ticket = decode_ticket(stage.store.payloads.require(row.payload))
    assert [" + ".join(attempt.healing) for attempt in ticket.attempts] == events


def test_an_answer_gives_a_stuck_task_two_tries_before_it_is_stuck_again(
    restart: Callable[[], Stage],
) -> None:
    stage = restart()
    stage.open_help_desk()
    task = played(stage, *[WRONG] * 3, until="session_help_needed", give_up_on_failure=False)
    assert (task.failure, task.scope) == ("stuck", ())
    stage.help_desk.answer(SESSION, "c1", Answer(decision="retry", note="use tabs"))
    stage.wait_for("task_answered")
    stage = restart()
    stage.engines.outcomes.extend([WRONG, WRONG])

    stage.run(team(TWO, retry=PATIENT, give_up_on_failure=False))
    stage.advance_until("session_help_needed")

    assert [row.failure for row in stage.attempts()[3:]] == ["failed_check", "stuck"]
    assert stage.engines.started[0].feedback[-1] == "use tabs"


TASK = Task(Assignment(SESSION, "r", "/nowhere", None, 0, 1), team(TWO).personas["dev"], TWO)
WAITING = TaskRecord(
    session_id=SESSION,
    task_id="c1",
    phase="build",
    persona_id="dev",
    engine="scripted",
    state="waiting",
    waits_for="deadline",
    failure="failed_check",
    evidence=("mend line 2",),
    advice=("earlier",),
)
DENIED = CallDenied(
    call_id=b"", limit=1, spent=1, held=0, need=1, budget_id="", resets_at_ms=None, park=False
)


def test_what_is_known_of_the_work_outlives_an_end_that_has_another_reason() -> None:
    for ended, _ in (
        steps.abandoned(TASK, WAITING, 5),
        steps.unaffordable(TASK, WAITING, DENIED, 5),
    ):
        assert TASK.order(ended).feedback == ("earlier", "mend line 2", *ended.evidence)


def test_what_is_known_of_the_work_is_bounded() -> None:
    ended = WAITING
    for _ in range(50):
        ended, _ = steps.unaffordable(TASK, ended, DENIED, 5)

    assert len(ended.advice) == EVIDENCE_MAX


def test_a_strategy_that_was_plugged_in_is_asked_before_the_built_in_ones(stage: Stage) -> None:
    hint = Stranger(lambda seen: Remedy(advice=(f"think of {seen.contract.id}",), detail="c1"))
    stage.ports = replace(stage.ports, strategies=(hint, *BUILT_IN))

    played(stage, WRONG, WHOLE, until="session_done")

    assert stage.engines.started[1].feedback[0] == "think of c1"
    assert stage.attempts()[0].healing == ("stranger: c1",)
