"""Counters as they are stored, and the budget every persona has."""

import functools
from typing import Final

from maestro_actors.ledger.amounts import METRICS
from maestro_actors.ledger.budget import Budget
from maestro_actors.ledger.counter import Counter
from maestro_storage.records import BudgetRecord, CallRecord, CounterKey, CounterRecord, Hold

_PERSONA: Final = "persona/"
"""Begins the budget id of a persona's `token_budget`; a name in a team file has no slash."""
_TOTAL: Final = METRICS.index("total")


@functools.lru_cache(maxsize=1024)
def persona_budget(persona_id: str, limit: int) -> Budget:
    """Return the `token_budget` of a persona: all its tokens in one session."""
    return Budget(id=_PERSONA + persona_id, scope="persona", value=persona_id, limit=limit)


def persona_of(key: CounterKey) -> str:
    """Return whose `token_budget` a counter counts; empty if it counts another budget."""
    return key.subject if key.budget_id.startswith(_PERSONA) else ""


def holds_of(call: CallRecord) -> tuple[Hold, ...]:
    """Return everything an open call holds, that of its persona first."""
    tokens = call.reserved_tokens
    key = CounterKey(
        call.session_id, _PERSONA + call.persona_id, "session/total", call.persona_id, 0
    )
    return (Hold(key, None, _TOTAL, tokens, tokens), *call.holds)


def counter_of(key: CounterKey, row: CounterRecord | BudgetRecord) -> Counter:
    """Return the counter that a row holds."""
    if isinstance(row, BudgetRecord):
        counter = Counter(
            key,
            spent=row.spent_tokens,
            held=row.held_tokens,
            topped_up=row.topped_up_tokens,
            fired=set(row.fired),
        )
        counter.apply(persona_budget(row.persona_id, row.limit_tokens - row.topped_up_tokens))
        return counter
    return Counter(
        key,
        limit=row.limit,
        version=row.version,
        alert_permille=row.alert_permille,
        spent=row.spent,
        held=row.held,
        topped_up=row.topped_up,
        fired=set(row.fired),
        steps=dict(row.steps),
    )


def persona_row_of(counter: Counter, epoch: int) -> BudgetRecord:
    """Return the row that holds the counter of a persona's budget."""
    return BudgetRecord(
        session_id=counter.key.session_id,
        persona_id=persona_of(counter.key),
        limit_tokens=counter.limit,
        spent_tokens=counter.spent,
        held_tokens=counter.held,
        topped_up_tokens=counter.topped_up,
        fired=tuple(sorted(counter.fired)),
        epoch=epoch,
    )


def row_of(counter: Counter, at_ms: int, epoch: int) -> CounterRecord | BudgetRecord:
    """Return the row that holds a counter."""
    if persona_of(counter.key):
        return persona_row_of(counter, epoch)
    return CounterRecord(
        counter=counter.key,
        limit=counter.limit,
        spent=counter.spent,
        held=counter.held,
        topped_up=counter.topped_up,
        version=counter.version,
        alert_permille=counter.alert_permille,
        fired=tuple(sorted(counter.fired)),
        steps=tuple(sorted(counter.steps.items())),
        updated_ms=at_ms,
        epoch=epoch,
    )
