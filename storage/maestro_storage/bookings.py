"""What the records of the ledger are made of: counters by name, holds, corrections and alerts."""

from typing import NamedTuple


class CounterKey(NamedTuple):
    """Names one counter of a budget."""

    session_id: str
    """Empty unless the window is the session: such counters outlive every session."""
    budget_id: str
    rule: str
    """Window and metric: what counts something else is another counter."""
    subject: str
    """Whom it counts for; empty for a global budget."""
    start_ms: int
    """Start of the window; 0 for a session, for ever, and for all steps of a rolling one."""


class Hold(NamedTuple):
    """What an open call has reserved in one counter."""

    key: CounterKey
    step_ms: int | None
    """The step of a rolling window that the call was opened in; None for other windows."""
    metric: int
    """Index of the metric: total, fresh, output, requests, money."""
    amount: int
    floor: int


class Correction(NamedTuple):
    """What a closed call has really used, found out later. Figures, not differences."""

    correction_id: str
    """Names the correction within its call, so that it is applied once."""
    reason: str
    at_ms: int
    input_tokens: int
    output_tokens: int
    basis: str
    requests: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
    cost_basis: str


class Fired(NamedTuple):
    """An alert that was raised: once for each version and limit of a counter."""

    version: int
    limit: int
    permille: int
