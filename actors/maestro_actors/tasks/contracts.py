"""Whether a contract is fulfilled: a pure judgement over what was seen on disk."""

import msgspec

from maestro_actors.checks import TEXT_CHARACTERS_MAX, Check, Checked, CheckResult, Human
from maestro_actors.engine import FailureClass, Outcome
from maestro_actors.team import Contract


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The result of holding an outcome against its contract."""

    quality_score: float
    """Weighted mean of all scores, 0..1: each deliverable weighs 1, shared by its globs, each
    check its own weight. A check that was not evaluated scores 0; one that waits for a person is
    left out."""
    contract_fulfilled: bool
    """The engine finished, every glob matches a file, and every required check passed."""
    failure: FailureClass | None = None
    """Why another attempt is needed; None also while only a person's answer is missing."""
    evidence: tuple[str, ...] = ()
    """Checks that did not pass, one sentence each, the required ones first."""
    questions: tuple[str, ...] = ()
    """What a person has to answer before the contract can be fulfilled."""


def judge(contract: Contract, outcome: Outcome) -> Verdict:
    """Return the verdict on `outcome`; a contract that owes nothing asks only for an end."""
    if not contract.deliverables and not contract.checks:
        ended = outcome.failure is None
        return Verdict(
            quality_score=float(ended), contract_fulfilled=ended, failure=outcome.failure
        )
    results = {result.index: result for result in outcome.checks}
    answered = [
        (check, results.get(index)) for index, (check, _) in enumerate(contract.owed_checks)
    ]
    not_passed = sum(check.required and not _passed(result) for check, result in answered)
    # What waits for a person, another attempt cannot mend.
    questions = [
        check.question
        for check, result in answered
        if isinstance(check, Human) and check.required and _is_open(result)
    ]
    failure = outcome.failure
    if failure is None:
        if any(score < 1.0 for _, score in _globs(contract, outcome)):
            failure = "missing_deliverable"
        elif len(questions) < not_passed:
            failure = "failed_check"
    asked = () if failure else tuple(f"a person must answer: {text}" for text in questions)
    return Verdict(
        quality_score=_quality(contract, outcome, answered),
        contract_fulfilled=failure is None and not asked,
        failure=failure,
        evidence=_evidence(outcome),
        questions=asked,
    )


def accepted(contract: Contract, found: Checked, said: str) -> tuple[Checked, float]:
    """Return the findings with a yes to every open question, and the quality that follows.

    Args:
        contract: Everything else it asks for has been fulfilled, its globs included.
        found: The findings of the attempt that left the questions open.
        said: Who answered, and what; shown as what the check got.
    """
    answered: list[tuple[Check, CheckResult | None]] = []
    results = {result.index: result for result in found.results}
    for index, (check, _) in enumerate(contract.owed_checks):
        result = results.get(index)
        if isinstance(check, Human) and check.required and _is_open(result):
            result = CheckResult(
                index=index,
                name=check.label,
                kind=check.kind,
                required=True,
                verdict="pass",
                score=1.0,
                expected=check.expected[:TEXT_CHARACTERS_MAX],
                got=said[:TEXT_CHARACTERS_MAX],
                evidence={} if result is None else result.evidence,
            )
            results[index] = result
        answered.append((check, result))
    ordered = tuple(results[index] for index in sorted(results))
    globs = [
        (1 / len(item.artifacts), 1.0) for item in contract.deliverables for _ in item.artifacts
    ]
    return msgspec.structs.replace(found, results=ordered), _mean(globs, answered, 1.0)


def _passed(result: CheckResult | None) -> bool:
    return result is not None and result.verdict == "pass"


def _is_open(result: CheckResult | None) -> bool:
    return result is None or result.verdict == "pending"


def _globs(contract: Contract, outcome: Outcome) -> list[tuple[float, float]]:
    """Return weight and score of each glob: an implicit check that a file exists."""
    # Nothing listed as missing means something only if somebody looked: a call that never got to
    # the workspace has no artifacts either.
    looked = bool(outcome.artifacts)
    missing = frozenset(outcome.missing)
    return [
        (1 / len(item.artifacts), float(looked and glob not in missing))
        for item in contract.deliverables
        for glob in item.artifacts
    ]


def _quality(
    contract: Contract, outcome: Outcome, answered: list[tuple[Check, CheckResult | None]]
) -> float:
    return _mean(_globs(contract, outcome), answered, float(outcome.failure is None))


def _mean(
    globs: list[tuple[float, float]],
    answered: list[tuple[Check, CheckResult | None]],
    otherwise: float,
) -> float:
    """Return the weighted mean of all scores, or `otherwise` if nothing was owed."""
    parts = list(globs)
    for check, result in answered:
        if result is None:
            parts.append((check.weight, 0.0))
        elif result.verdict != "pending":
            parts.append((check.weight, result.score))
    if not parts:
        return otherwise
    return sum(weight * score for weight, score in parts) / sum(weight for weight, _ in parts)


def _evidence(outcome: Outcome) -> tuple[str, ...]:
    failed = [result for result in outcome.checks if result.verdict in ("fail", "error")]
    failed.sort(key=lambda result: not result.required)
    return tuple(
        f"{'check' if result.required else 'optional check'} {result.name!r} "
        f"{'failed' if result.verdict == 'fail' else 'could not be evaluated'}: "
        f"expected {result.expected}, got {result.got}"
        for result in failed
    )
