"""Counters and calls as they are stored, and the budget every persona has."""

import functools
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from maestro_actors.engine import Usage
from maestro_actors.ledger.amounts import METRICS, Amounts, LostPolicy, lost_amount, used
from maestro_actors.ledger.budget import Budget
from maestro_actors.ledger.counter import Counter
from maestro_actors.ledger.ledger import rule_of
from maestro_actors.ledger.prices import RateCard, cost_at_most, cost_of
from maestro_storage.bookings import Correction, CounterKey, Hold
from maestro_storage.records import BudgetRecord, CallRecord, CounterRecord

CounterRow = CounterRecord | BudgetRecord
"""How a counter is stored: that of a persona's budget as a row of its own kind."""

_PERSONA: Final = "persona/"
"""Begins the budget id of a persona's `token_budget`; a name in a team file has no slash."""
_RUNTIME: Final = "runtime/"
"""Begins the id of a budget of the whole runtime."""
_TOTAL: Final = METRICS.index("total")
_MONEY: Final = METRICS.index("money")

LOST_BASES: Final[dict[LostPolicy, str]] = {
    "reservation": "reserved",
    "floor": "floor",
    "zero": "zero",
}
"""What the row of a lost call has as its basis, by the policy that booked it."""

_POLICIES: Final = {basis: policy for policy, basis in LOST_BASES.items()}


@functools.lru_cache(maxsize=1024)
def persona_budget(persona_id: str, limit: int) -> Budget:
    """Return the `token_budget` of a persona: all its tokens in one session."""
    return Budget(id=_PERSONA + persona_id, scope="persona", value=persona_id, limit=limit)


def runtime_budget(budget: Budget) -> Budget:
    """Return a budget of the whole runtime, under an id that no team can give to one of its own."""
    return msgspec.structs.replace(budget, id=_RUNTIME + budget.id)


def outdated(budgets: Iterable[Budget]) -> Callable[[CounterKey], bool]:
    """Return what tells a counter of the whole runtime that none of these budgets counts by."""
    rules = set(map(rule_of, budgets))
    return lambda key: key.budget_id.startswith(_RUNTIME) and key[1:3] not in rules


def persona_of(key: CounterKey) -> str:
    """Return whose `token_budget` a counter counts; empty if it counts another budget."""
    return key.subject if key.budget_id.startswith(_PERSONA) else ""


def holds_of(call: CallRecord) -> tuple[Hold, ...]:
    """Return everything a call holds, or held while it was open, that of its persona first."""
    tokens = call.reserved_tokens
    key = CounterKey(
        call.session_id, _PERSONA + call.persona_id, "session/total", call.persona_id, 0
    )
    return (Hold(key, None, _TOTAL, tokens, call.floor_tokens or tokens), *call.holds)


def settled(call: CallRecord, usage: Usage, card: RateCard | None) -> CallRecord:
    """Return the row of a call with what it used.

    Without a card its cost is not known; if it had a price when it was opened, the most it may have
    cost stays.
    """
    return msgspec.structs.replace(
        call,
        state="settled",
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        basis=usage.basis,
        requests=usage.requests,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost_nano_usd=call.cost_nano_usd if card is None else cost_of(usage, card),
        # Rows from before there were prices have no basis.
        cost_basis=(call.cost_basis or "unpriced") if card is None else card.basis,
    )


def lost(call: CallRecord, policy: LostPolicy, card: RateCard | None) -> CallRecord:
    """Return the row of a call of which nobody knows what it used."""
    tokens = lost_tokens(call, policy)
    money = next((hold for hold in call.holds if hold.metric == _MONEY), None)
    if money is not None:
        cost_nano_usd = lost_amount(money, policy)
    elif policy == "reservation":
        cost_nano_usd = call.cost_nano_usd
    else:
        cost_nano_usd = 0 if card is None else cost_at_most(tokens, card)
    return msgspec.structs.replace(
        call,
        state="lost",
        input_tokens=tokens,
        basis=LOST_BASES[policy],
        requests=0 if policy == "zero" else 1,
        cost_nano_usd=cost_nano_usd,
    )


def lost_tokens(call: CallRecord, policy: LostPolicy) -> int:
    """Return the tokens a lost call is booked with."""
    return lost_amount(holds_of(call)[0], policy)


def figures_of(call: CallRecord) -> CallRecord | Correction:
    """Return where the figures that count stand: the last correction, or else the call itself."""
    return call.corrections[-1] if call.corrections else call


def usage_of(figures: CallRecord | Correction) -> Usage:
    """Return the figures of a call, or of a correction, as a usage."""
    return Usage(
        input_tokens=figures.input_tokens,
        output_tokens=figures.output_tokens,
        cache_read_tokens=figures.cache_read_tokens,
        cache_write_tokens=figures.cache_write_tokens,
        reasoning_tokens=figures.reasoning_tokens,
        requests=figures.requests,
    )


def booked(call: CallRecord) -> Amounts:
    """Return what a closed call counts for now, in each way a budget can count it."""
    policy = _POLICIES.get(call.basis)
    if policy is None or call.corrections:
        figures = figures_of(call)
        return used(usage_of(figures), figures.cost_nano_usd)
    # How much of a lost call was output nobody knows: each counter was booked with its own hold.
    amounts = {METRICS[hold.metric]: lost_amount(hold, policy) for hold in holds_of(call)}
    return Amounts(**amounts)


def loader(
    row: Callable[[CounterKey], CounterRow | None],
) -> Callable[[CounterKey], Counter | None]:
    """Return how a ledger loads its counters, from how their rows are read."""

    def load(key: CounterKey) -> Counter | None:
        found = row(key)
        return None if found is None else counter_of(key, found)

    return load


def counter_of(key: CounterKey, row: CounterRow) -> Counter:
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
        persona_id=counter.key.subject,
        limit_tokens=counter.limit,
        spent_tokens=counter.spent,
        held_tokens=counter.held,
        topped_up_tokens=counter.topped_up,
        fired=tuple(sorted(counter.fired)),
        epoch=epoch,
    )


def row_of(counter: Counter, at_ms: int, epoch: int) -> CounterRow:
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
