"""What a call came to, as the outcome that is booked and judged."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from maestro_actors.engine import CallOrder, FailureClass, Outcome, Usage
from maestro_actors.errors import TokenBudgetExceeded
from maestro_actors.sessions.summary import encode_decisions
from maestro_actors.text import storable
from maestro_runtime.engines.errors import EngineError, MalformedOutput
from maestro_runtime.redaction import Redactor

EVIDENCE_CHARACTERS_MAX: Final = 4_000
"""Longest sentence of evidence."""

RETRY_AFTER_SECONDS_MAX: Final = 86_400.0
"""Longest pause an engine may ask for; a longer one is not believed."""

LASTING: Final[dict[type[BaseException], FailureClass]] = {
    PermissionError: "permanent",
    TokenBudgetExceeded: "limit",
}
"""Exceptions, foreign to the protocol, that another attempt would meet again."""

DECISIONS_BYTES_MAX: Final = 1 << 16
"""Longest JSON of what an engine decided (64 KiB)."""

StopReason = Literal["timeout", "cancelled", "closed"]

INTERRUPTIONS: Final = {"cancelled": "call was cancelled", "closed": "engine host was closed"}


def usage_after(error: BaseException, booked: Usage) -> Usage:
    """Return the tokens of a call that failed: the error's own count, or what was booked."""
    if isinstance(error, EngineError) and error.usage is not None:
        return error.usage
    return booked


def countable(outcome: Outcome, order: CallOrder) -> Outcome:
    """Return an outcome whose usage can be booked: this one, or the failure that it is."""
    usage: object = outcome.usage
    fault = usage.fault if isinstance(usage, Usage) else f"usage must be a Usage, got {usage!r}"
    if not fault:
        return outcome
    # Whoever counts wrong has used something all the same: at most what was reserved for it.
    return msgspec.structs.replace(
        outcome,
        usage=Usage(input_tokens=order.token_budget, basis="reserved"),
        failure=outcome.failure or "malformed_output",
        evidence=(
            *outcome.evidence,
            storable(f"engine miscounts: {fault}", EVIDENCE_CHARACTERS_MAX),
        ),
    )


def failed(error: BaseException, usage: Usage) -> Outcome:
    """Return the outcome of a call that an exception ended."""
    if not isinstance(error, EngineError):
        # Type and text only: a traceback could show secrets.
        evidence = storable(f"{type(error).__name__}: {error}", EVIDENCE_CHARACTERS_MAX)
        failure = next((name for kind, name in LASTING.items() if isinstance(error, kind)), None)
        return Outcome(usage=usage, failure=failure or "transient", evidence=(evidence,))
    pause_seconds = error.retry_after_seconds
    if pause_seconds is not None and not 0 <= pause_seconds <= RETRY_AFTER_SECONDS_MAX:
        pause_seconds = None
    return Outcome(
        usage=usage,
        failure=error.failure,
        evidence=(storable(str(error), EVIDENCE_CHARACTERS_MAX),),
        engine_fault=error.engine_fault,
        retry_after_seconds=pause_seconds,
    )


def interrupted(reason: StopReason, usage: Usage) -> Outcome:
    """Return the outcome of a call that somebody ended."""
    return Outcome(usage=usage, failure="interrupted", evidence=(INTERRUPTIONS[reason],))


def decided(decisions: Mapping[str, Any], outcome: Outcome) -> Outcome:
    """Return the outcome with what the engine decided, if that can be kept."""
    try:
        spelled = encode_decisions(decisions)
    except (TypeError, ValueError, RecursionError) as error:
        return failed(MalformedOutput(f"decisions must be JSON: {error}"), outcome.usage)
    if not isinstance(decisions, Mapping):
        fault = f"decisions must be an object, got {type(decisions).__name__}"
    elif len(spelled) > DECISIONS_BYTES_MAX:
        fault = f"decisions must have at most {DECISIONS_BYTES_MAX} bytes, got {len(spelled)}"
    else:
        return msgspec.structs.replace(outcome, decisions=spelled)
    return failed(MalformedOutput(fault), outcome.usage)


def cleaned(outcome: Outcome, redactor: Redactor) -> Outcome:
    """Return an outcome with secrets taken out of all that was said; names of files stay."""
    checks = (text for check in outcome.checks for text in (check.expected, check.got))
    decisions = outcome.decisions
    said = (outcome.message, *outcome.evidence, *outcome.claimed_missing, *outcome.healing)
    if not redactor.changes((*said, *checks, decisions.decode())):
        return outcome
    if decisions:
        decisions = encode_decisions(redactor.cleaned(msgspec.json.decode(decisions)))
    return msgspec.structs.replace(
        outcome,
        evidence=tuple(map(redactor.clean, outcome.evidence)),
        message=redactor.clean(outcome.message),
        claimed_missing=tuple(map(redactor.clean, outcome.claimed_missing)),
        healing=tuple(map(redactor.clean, outcome.healing)),
        checks=tuple(
            msgspec.structs.replace(
                check, expected=redactor.clean(check.expected), got=redactor.clean(check.got)
            )
            for check in outcome.checks
        ),
        decisions=decisions,
    )
