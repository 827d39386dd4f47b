"""The failure detector: which class an attempt's failure has, and when a task is stuck."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_actors.checks import CheckResult, Parses
from maestro_actors.engine import FAILURE_CLASSES, Artifact, FailureClass, Outcome
from maestro_actors.tasks.contracts import judge
from maestro_actors.tasks.diagnosis import EVIDENCE_MAX, STUCK, Diagnosis, diagnose
from maestro_actors.team import Contract, Deliverable

CONTRACT = Contract(
    id="c",
    name="c",
    phase="p",
    provider_persona_id="dev",
    deliverables=(Deliverable(name="d", artifacts=("a.json", "b.json")),),
    checks=(Parses(format="json"), Parses(format="json", required=False)),
)


def file(content: str, path: str = "a.json") -> Artifact:
    return Artifact(path=path, size_bytes=1, sha256=content, changed=True)


def check(verdict: Any = "fail", *, got: str = "line 1", **changes: Any) -> CheckResult:
    result = CheckResult(
        index=0,
        name="parses",
        kind="parses",
        required=True,
        verdict=verdict,
        score=0.0,
        expected="well-formed json",
        got=got,
        evidence={"a.json": "1"},
    )
    return msgspec.structs.replace(result, **changes)


def diagnosed(outcome: Outcome, before: bytes = b"") -> Diagnosis:
    return diagnose(judge(CONTRACT, outcome), outcome, before)


OPTIONAL = check("pass", index=1, required=False)
FAILED = Outcome(
    artifacts=(file("1"), file("1", "b.json")), checks=(check(), OPTIONAL), evidence=("noise",)
)
MISSING = Outcome(artifacts=(file("1"),), missing=("b.json",), checks=(check("pass"), OPTIONAL))
FINE = msgspec.structs.replace(FAILED, checks=(check("pass"), OPTIONAL))


@pytest.mark.parametrize("failure", sorted(set(FAILURE_CLASSES) - {"unanswered"}))
def test_what_the_engine_says_is_the_class_and_its_evidence_the_reason(
    failure: FailureClass,
) -> None:
    outcome = msgspec.structs.replace(MISSING, failure=failure, evidence=("seen",))

    found = diagnosed(outcome)

    assert (found.failure, found.reasons) == (failure, ("seen",))


def test_what_decided_the_class_is_told_first() -> None:
    missing = msgspec.structs.replace(
        MISSING, checks=FAILED.checks, evidence=("b.json is missing",)
    )

    assert diagnosed(FAILED).failure == "failed_check"
    assert diagnosed(FAILED).reasons == (
        "check 'parses' failed: expected well-formed json, got line 1",
        "noise",
    )
    assert diagnosed(missing).failure == "missing_deliverable"
    assert diagnosed(missing).reasons[0] == "b.json is missing"


@pytest.mark.parametrize("outcome", [FAILED, MISSING])
def test_the_same_files_and_the_same_faults_twice_are_stuck_and_say_so(outcome: Outcome) -> None:
    first = diagnosed(outcome)
    again = diagnosed(outcome, first.findings)

    assert first.failure != "stuck"
    assert (again.failure, again.findings) == ("stuck", first.findings)
    told = f"{STUCK}: {first.reasons[0]}" if first.reasons else STUCK
    assert again.reasons == (told, *first.reasons[1:])


@pytest.mark.parametrize(
    "change",
    [
        {"artifacts": (file("2"), file("1", "b.json"))},
        {"artifacts": (file("1"),), "missing": ("b.json",)},
        {"checks": (check("error"), OPTIONAL)},
        {"checks": (check(got="2 failed in 0.01s"), OPTIONAL)},
        {"checks": (check(evidence={"a.json": "1", "lib.py": "2"}), OPTIONAL)},
    ],
    ids=["file", "missing file", "verdict", "what was found", "file of a check"],
)
def test_whatever_has_changed_is_progress(change: dict[str, Any]) -> None:
    first = diagnosed(FAILED)

    again = diagnosed(msgspec.structs.replace(FAILED, **change), first.findings)

    assert again.failure in ("failed_check", "missing_deliverable")
    assert again.findings != first.findings


@pytest.mark.parametrize(
    "change",
    [
        {"evidence": ("other noise",)},
        {"checks": (check(), check(index=1, required=False))},
        {"artifacts": tuple(msgspec.structs.replace(f, changed=False) for f in FAILED.artifacts)},
    ],
    ids=["other words", "optional check", "written again"],
)
def test_what_says_nothing_about_the_work_is_no_progress(change: dict[str, Any]) -> None:
    first = diagnosed(FAILED)

    assert diagnosed(msgspec.structs.replace(FAILED, **change), first.findings).failure == "stuck"


def test_durations_and_addresses_in_what_a_program_says_are_no_progress() -> None:
    def of(got: str) -> bytes:
        return diagnosed(msgspec.structs.replace(FAILED, checks=(check(got=got),))).findings

    assert of("1 failed in 0.03s at 0x7fAb") == of("1 failed in 12.5s at 0x12")
    assert of("1 failed in 0.03s") != of("2 failed in 0.03s")


def test_an_attempt_whose_files_nobody_looked_at_is_never_stuck() -> None:
    blind = Outcome(checks=(check(evidence={}),))

    assert diagnosed(blind).findings == b""
    assert diagnosed(blind, diagnosed(blind).findings).failure != "stuck"


def test_findings_are_those_of_attempts_whose_engine_ended_well_alone() -> None:
    failed = msgspec.structs.replace(MISSING, failure="malformed_output")

    assert diagnosed(failed).findings == b""
    assert diagnosed(FINE).findings == b""


def test_no_more_reasons_are_kept_than_there_is_room_for() -> None:
    noisy = msgspec.structs.replace(FAILED, evidence=tuple(map(str, range(99))))

    reasons = diagnosed(noisy, diagnosed(noisy).findings).reasons

    assert len(reasons) == EVIDENCE_MAX
    assert reasons[0].startswith(f"{STUCK}: check 'parses' failed: ")
    assert reasons[-1] == "and 81 more"


@dataclass(frozen=True)
class Attempt:
    """An attempt, in short: whether the engine ended well, what it left, what is wrong with it."""

    engine: FailureClass | None
    content: str
    fault: str

    def outcome(self) -> Outcome:
        whole = self.fault != "missing"
        verdict = self.fault if whole else "pass"
        return Outcome(
            failure=self.engine,
            artifacts=(file(self.content), *([file("1", "b.json")] if whole else [])),
            missing=() if whole else ("b.json",),
            checks=() if self.engine else (check(verdict), OPTIONAL),
        )


attempts = st.builds(
    Attempt,
    st.sampled_from([None, None, None, "transient", "interrupted", "malformed_output"]),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["missing", "fail", "error"]),
)


@given(st.lists(attempts, max_size=12))
def test_a_task_is_stuck_exactly_when_its_last_two_finished_attempts_came_to_the_same(
    history: list[Attempt],
) -> None:
    findings, finished = b"", None
    for attempt in history:
        found = diagnosed(attempt.outcome(), findings)
        findings = found.findings or findings

        if attempt.engine is not None:
            assert found.failure == attempt.engine
        else:
            assert (found.failure == "stuck") == (attempt == finished)
            finished = attempt
