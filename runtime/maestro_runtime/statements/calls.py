"""Single calls: those that were lost, and all of them for other programs to read."""

from collections.abc import Iterator

import msgspec

from maestro_actors.ledger.rows import figures_of
from maestro_runtime.statements.booked import cost_of_call, tokens_of
from maestro_storage import Records
from maestro_storage.records import CallRecord, CallState


class CallReport(msgspec.Struct, frozen=True, kw_only=True):
    """One call: a row of the ledger. The order of the fields is that of the exported columns."""

    session_id: str
    call_id: str
    """32 hex digits."""
    phase: str
    contract: str
    persona: str
    engine: str
    model: str
    round: int
    attempt: int
    """1-based, within the round."""
    state: CallState
    outcome: str
    """ "ok", or the class of the failure; empty while it is open."""
    opened_ms: int
    closed_ms: int | None
    reserved_tokens: int
    tokens: int
    """Input and output together; 0 while it is open."""
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    requests: int
    basis: str
    """Who counted: "provider" or "estimated"; "reserved", "floor" or "zero" for a lost call."""
    cost_nano_usd: int | None
    """The most it may cost while it is open; None: there is no price."""
    cost_basis: str
    corrections: int = 0
    """How often its figures were corrected; they are those of the last time."""


def calls(store: Records, session_id: str | None = None) -> Iterator[CallReport]:
    """Yield the calls of one session, or of all that are kept, by session and call id."""
    prefix = () if session_id is None else (session_id,)
    return (report_of(call) for call in store.calls.scan(*prefix))


def lost_calls(store: Records, session_id: str | None = None) -> list[CallReport]:
    """Read the calls of which nobody knows what they used, oldest first."""
    lost = [call for call in calls(store, session_id) if call.state == "lost"]
    return sorted(lost, key=lambda call: (call.opened_ms, call.session_id, call.call_id))


def report_of(call: CallRecord) -> CallReport:
    """Return a call as it is shown."""
    figures = figures_of(call)
    return CallReport(
        session_id=call.session_id,
        call_id=call.call_id.hex(),
        phase=call.phase,
        contract=call.task_id,
        persona=call.persona_id,
        engine=call.engine,
        model=call.model,
        round=call.round,
        attempt=call.attempt,
        state=call.state,
        outcome=call.outcome,
        opened_ms=call.opened_ms,
        closed_ms=call.closed_ms,
        reserved_tokens=call.reserved_tokens,
        tokens=tokens_of(call),
        input_tokens=figures.input_tokens,
        output_tokens=figures.output_tokens,
        cache_read_tokens=figures.cache_read_tokens,
        cache_write_tokens=figures.cache_write_tokens,
        reasoning_tokens=figures.reasoning_tokens,
        requests=figures.requests,
        basis=figures.basis,
        cost_nano_usd=cost_of_call(call),
        cost_basis=figures.cost_basis,
        corrections=len(call.corrections),
    )
