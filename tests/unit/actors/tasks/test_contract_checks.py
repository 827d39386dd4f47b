from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_actors import checks
from maestro_actors.checks import Check, CheckBase, CheckResult
from maestro_actors.engine import FAILURE_CLASSES, Artifact, FailureClass, Outcome
from maestro_actors.messages import encode
from maestro_actors.tasks.contracts import judge
from maestro_actors.team import Contract, Deliverable

SEEN = (Artifact(path="a.md", size_bytes=1, sha256="00", changed=True),)

EVERY_KIND: dict[str, Check] = {
    "exists": checks.Exists(max=2),
    "changed_since_start": checks.ChangedSinceStart(),
    "min_bytes": checks.MinBytes(bytes=1),
    "max_bytes": checks.MaxBytes(bytes=9),
    "text_regex": checks.TextRegex(pattern="^#"),
    "json_schema": checks.JsonSchema(schema={"type": "object"}),
    "python_compiles": checks.PythonCompiles(),
    "parses": checks.Parses(format="toml"),
    "command": checks.Command(argv=("make", "test")),
    "no_forbidden": checks.NoForbidden(glob="*.tmp"),
    "callable": checks.Callable(callable="judges:judge"),
    "human": checks.Human(question="Nice?"),
}


def contract(*owed: Check) -> Contract:
    return Contract(
        id="c",
        name="c",
        phase="p",
        provider_persona_id="dev",
        deliverables=(Deliverable(name="d", artifacts=("*.md",)),),
        checks=owed,
    )


def result(index: int, check: Check, verdict: Any, score: float | None = None) -> CheckResult:
    return CheckResult(
        index=index,
        name=check.label,
        kind=check.kind,
        required=check.required,
        verdict=verdict,
        score=float(verdict == "pass") if score is None else score,
        expected=check.expected,
        got="what was found",
    )


@pytest.mark.parametrize(("kind", "check"), EVERY_KIND.items())
def test_every_kind_survives_storage_under_its_name(kind: str, check: Check) -> None:
    stored = msgspec.msgpack.decode(encode(contract(check)), type=Contract)

    assert stored.checks == (check,)
    assert check.kind == check.label == kind
    assert check.expected


def test_a_contract_stored_before_there_were_checks_has_none() -> None:
    fields = msgspec.to_builtins(contract())
    assert "checks" not in fields

    assert msgspec.convert(fields, Contract).owed_checks == ()


def test_a_required_check_that_fails_fails_the_attempt_and_says_what_was_wrong() -> None:
    owed = checks.Parses(format="json", name="valid data")

    verdict = judge(contract(owed), Outcome(artifacts=SEEN, checks=(result(0, owed, "fail"),)))

    assert (verdict.failure, verdict.contract_fulfilled) == ("failed_check", False)
    assert verdict.evidence == (
        "check 'valid data' failed: expected well-formed json in every file, got what was found",
    )
    assert verdict.quality_score == 0.5


def test_an_error_is_not_a_pass() -> None:
    owed = checks.PythonCompiles()

    verdict = judge(contract(owed), Outcome(artifacts=SEEN, checks=(result(0, owed, "error"),)))

    assert verdict.failure == "failed_check"
    assert verdict.evidence[0].startswith("check 'python_compiles' could not be evaluated: ")


def test_a_check_that_was_not_evaluated_is_not_passed() -> None:
    verdict = judge(contract(checks.PythonCompiles()), Outcome(artifacts=SEEN))

    assert (verdict.failure, verdict.quality_score) == ("failed_check", 0.5)


def test_an_optional_check_counts_for_the_quality_alone() -> None:
    owed = checks.MinBytes(bytes=9, required=False, weight=3.0)

    verdict = judge(contract(owed), Outcome(artifacts=SEEN, checks=(result(0, owed, "fail"),)))

    assert (verdict.contract_fulfilled, verdict.failure) == (True, None)
    assert verdict.quality_score == 0.25
    assert verdict.evidence[0].startswith("optional check 'min_bytes' failed: ")


def test_a_missing_file_is_told_before_a_failed_check() -> None:
    owed = checks.MinBytes(bytes=9)
    outcome = Outcome(missing=("*.md",), checks=(result(0, owed, "fail"),))

    assert judge(contract(owed), outcome).failure == "missing_deliverable"


def test_a_person_is_asked_only_when_nothing_else_is_wrong() -> None:
    machine, person = checks.MinBytes(bytes=9), checks.Human(question="Nice?")
    pending = result(1, person, "pending")

    def judged(verdict: str) -> Any:
        found = (result(0, machine, verdict), pending)
        return judge(contract(machine, person), Outcome(artifacts=SEEN, checks=found))

    assert judged("fail").questions == ()
    assert judged("fail").failure == "failed_check"
    assert judged("pass").questions == ("a person must answer: Nice?",)
    assert judged("pass").failure is None
    assert not judged("pass").contract_fulfilled
    assert judged("pass").quality_score == 1.0


def test_an_optional_question_keeps_nothing_waiting() -> None:
    person = checks.Human(question="Nice?", required=False)

    verdict = judge(
        contract(person), Outcome(artifacts=SEEN, checks=(result(0, person, "pending"),))
    )

    assert (verdict.contract_fulfilled, verdict.questions) == (True, ())


kinds = st.sampled_from(list(EVERY_KIND.values()))
weights = st.floats(min_value=1e-6, max_value=1e6)
found = st.tuples(
    kinds,
    weights,
    st.booleans(),
    st.sampled_from(["pass", "fail", "error", "pending", None]),
    st.floats(min_value=0, max_value=1),
)


@given(
    st.lists(found, max_size=8),
    st.sampled_from([None, *FAILURE_CLASSES]),
    st.booleans(),
)
def test_the_score_stays_in_its_bounds_and_fulfilled_means_that_all_required_checks_pass(
    drawn: list[tuple[CheckBase, float, bool, str | None, float]],
    failure: FailureClass | None,
    there: bool,
) -> None:
    owed: list[Any] = [
        msgspec.structs.replace(check, weight=weight, required=required)
        for check, weight, required, _, _ in drawn
    ]
    results = tuple(
        result(index, check, verdict, 1.0 if verdict == "pass" else score)
        for index, (check, (_, _, _, verdict, score)) in enumerate(zip(owed, drawn, strict=True))
        if verdict is not None
    )
    outcome = Outcome(
        failure=failure,
        artifacts=SEEN if there else (),
        missing=() if there else ("*.md",),
        checks=results,
    )

    verdict = judge(contract(*owed), outcome)

    assert 0.0 <= verdict.quality_score <= 1.0
    passed = {found.index for found in results if found.verdict == "pass"}
    every_required = all(index in passed for index, check in enumerate(owed) if check.required)
    assert verdict.contract_fulfilled == (failure is None and there and every_required)
    if verdict.failure is None:
        assert verdict.contract_fulfilled != bool(verdict.questions)
