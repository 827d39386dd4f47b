"""What was wrong with an attempt: a pure diagnosis, from what was seen to a class with reasons.

The class comes from the engine's typed error, from what is missing on disk, or from the checks,
in this order. An attempt that ends well but leaves the very files and faults of the one before it
is stuck: the same again would only cost the same again.
"""

import hashlib
import re
from typing import Final

import msgspec

from maestro_actors.engine import FailureClass, Outcome
from maestro_actors.messages import encode
from maestro_actors.tasks.contracts import Verdict

EVIDENCE_MAX: Final = 20
"""Sentences of evidence kept for one attempt; the last one counts what is left out."""

STUCK: Final = "files and faults are those of an earlier attempt"
"""What the first reason of a stuck attempt begins with; the fault itself follows."""

_PASSING: Final = re.compile(r"\d+\.\d+|0x[0-9a-fA-F]+")
"""What differs between two runs of a program that do the same: durations and addresses."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The class of an attempt's failure, and why."""

    failure: FailureClass | None
    """None: nothing failed; at most a person's answer is missing."""
    reasons: tuple[str, ...]
    """One sentence each, the one that decided first; at most `EVIDENCE_MAX`."""
    findings: bytes = b""
    """Digest of files and faults, to hold the next attempt against; empty if the engine did not
    end well, or if nobody looked at a file."""


def diagnose(verdict: Verdict, outcome: Outcome, findings_before: bytes) -> Diagnosis:
    """Return what is wrong with an attempt.

    Args:
        verdict: What the contract says to the outcome.
        outcome: What was seen.
        findings_before: Of the last attempt of the task that has some; empty if none has.
    """
    failure = verdict.failure
    reasons = (*outcome.evidence, *verdict.evidence)
    if failure == "failed_check":
        # What made the attempt fail comes first: one sentence is all that a line of history shows.
        reasons = (*verdict.evidence, *outcome.evidence)
    findings = b""
    if failure in ("missing_deliverable", "failed_check"):
        findings = _findings(failure, outcome)
        if findings and findings == findings_before:
            failure = "stuck"
            first = f"{STUCK}: {reasons[0]}" if reasons else STUCK
            reasons = (first, *reasons[1:])
    return Diagnosis(failure=failure, reasons=capped(reasons), findings=findings)


def capped(sentences: tuple[str, ...]) -> tuple[str, ...]:
    """Return at most `EVIDENCE_MAX` sentences; the last one then counts what is left out."""
    if len(sentences) <= EVIDENCE_MAX:
        return sentences
    return (
        *sentences[: EVIDENCE_MAX - 1],
        f"and {len(sentences) - EVIDENCE_MAX + 1} more",
    )


def _findings(failure: FailureClass, outcome: Outcome) -> bytes:
    faults = [
        (
            result.index,
            result.verdict,
            _PASSING.sub("#", result.got),
            sorted(result.evidence.items()),
        )
        for result in outcome.checks
        if result.required and result.verdict in ("fail", "error")
    ]
    files = [(artifact.path, artifact.sha256) for artifact in outcome.artifacts]
    # A program that names no files reads what nobody knows: that it still fails proves nothing.
    looked = files or outcome.missing or any(evidence for _, _, _, evidence in faults)
    if not looked:
        return b""
    seen = encode((failure, sorted(outcome.missing), faults, files))
    return hashlib.blake2b(seen, digest_size=16, person=b"maestro.findings").digest()
