"""Topping up a budget: the entry, and the tasks that go on with it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from maestro_actors.help.answer import Answer, answered
from maestro_actors.identity import coordinator_address
from maestro_actors.ledger.counter import Counter
from maestro_actors.ledger.errors import BudgetInvalid
from maestro_actors.ledger.money import NANO_PER_USD
from maestro_actors.messages import HelpAnswered, TopUp, encode
from maestro_actors.receipt import Receipt
from maestro_actors.text import WHO_CHARACTERS_MAX, storable
from maestro_runtime.errors import BudgetAmbiguous
from maestro_runtime.statements.counters import (
    Counted,
    CounterBook,
    counter_book,
    metric_of,
)
from maestro_storage import Records
from maestro_storage.bookings import CounterKey
from maestro_storage.errors import NotFound
from maestro_storage.records import SESSION_FINAL, SessionRecord, TaskRecord
from maestro_storage.transition import Event, Transition

AMOUNT_MAX: Final = 10**12
"""Most that one top-up adds, in units of the metric."""

USD_MAX: Final = 10**6
"""Most that one top-up adds to a budget that counts money, in USD."""

REASON_CHARS_MAX: Final = 500
"""Longest reason, in characters."""


def _nobody(_session_id: str) -> bool:
    """No session has a coordinator."""
    return False


class TopUpOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to which counter, and why."""

    budget_id: str
    amount: Decimal
    """USD if the budget counts money, with at most 9 decimals, up to 1,000,000; else a whole number
    of what it counts, up to 10**12. Above 0."""
    reason: str
    """For the history; 1 to 500 characters."""
    by: str = ""
    """Who tops up, as far as the history keeps it: 200 characters. Empty if unknown."""
    session_id: str | None = None
    """Tells the counters of a budget apart, like the next one; None: there is only one."""
    subject: str | None = None


class TopUpPlan(NamedTuple):
    """What a top-up is about to do."""

    counter: Counter
    """As it stands before."""
    counted: list[Counted]
    """Whom it counts; not empty."""
    amount: int
    """In units of the metric."""
    draft: Transition
    """The entry in the history, and the tasks that are tried again."""
    retried: tuple[tuple[str, str], ...]


def planned(
    store: Records, order: TopUpOrder, now_ms: int, is_live: Callable[[str], bool] = _nobody
) -> TopUpPlan:
    """Return what a top-up would do.

    Args:
        store: What is on record.
        order: The top-up.
        now_ms: Wall clock.
        is_live: Whether a session has a coordinator, which alone writes its record.

    Raises:
        BudgetInvalid: Amount or reason is out of bounds.
        NotFound: No running window of a budget is meant, or no session is left whose history could
            hold the entry.
        BudgetAmbiguous: Several are meant.
    """
    if not 1 <= len(order.reason) <= REASON_CHARS_MAX:
        rule = f"must have 1 to {REASON_CHARS_MAX} characters"
        raise BudgetInvalid(order.budget_id, "reason for a top-up", rule, order.reason[:80])
    book = counter_book(store, now_ms)
    counter = _found(book, order)
    amount = _units(order, metric_of(counter.key))
    counted = book.counted.get(counter.key, [])
    if not counted:
        raise NotFound("session with budget", order.budget_id)
    draft = Transition()
    draft.event(_entry(_historian(store, counter.key, counted), order, amount, now_ms))
    stopped = _stopped(store, counted)
    again = Answer(decision="retry", by=order.by)
    for found, task in stopped:
        live = is_live(found.session_id)
        session = msgspec.structs.replace(found, state="running") if live else found
        answer = answered(session, task, again, now_ms, store.epoch)
        draft.changes.extend(answer.changes)
        draft.events.extend(answer.events)
        message = encode(HelpAnswered(task_id=task.task_id))
        draft.then(coordinator_address(task.session_id), message)
    retried = tuple((task.session_id, task.task_id) for _, task in stopped)
    return TopUpPlan(counter, counted, amount, draft, retried)


def books_order(plan: TopUpPlan, now_ms: int, receipt: Receipt | None = None) -> TopUp:
    """Return the order to the books by which a plan is carried out."""
    return TopUp(
        budget=plan.counted[-1].budget,
        caller=plan.counted[-1].caller,
        metric=metric_of(plan.counter.key),
        amount=plan.amount,
        at_ms=now_ms,
        retried=plan.retried,
        draft=plan.draft,
        receipt=receipt,
    )


def _units(order: TopUpOrder, metric: str) -> int:
    """Return the amount in units of the metric."""
    money = metric == "money"
    most = USD_MAX if money else AMOUNT_MAX
    amount = order.amount
    # Not a number is in no range, but comparing it would raise.
    units = amount * (NANO_PER_USD if money else 1) if amount.is_finite() else amount
    if not amount.is_finite() or not 0 < amount <= most or units != int(units):
        kind = "an amount of USD with at most 9 decimals" if money else "a whole number"
        rule = f"must be {kind}, above 0 and at most {most}"
        raise BudgetInvalid(order.budget_id, "top-up", rule, str(amount))
    return int(units)


def _found(book: CounterBook, order: TopUpOrder) -> Counter:
    found = [
        counter
        for key, counter in book.running.items()
        if key.budget_id == order.budget_id
        and (order.session_id is None or key.session_id in ("", order.session_id))
        and order.subject in (None, key.subject)
    ]
    if not found:
        raise NotFound("running budget", order.budget_id)
    if len(found) > 1:
        keys = sorted(counter.key for counter in found)
        places = tuple((key.session_id, key.subject, key.rule) for key in keys)
        raise BudgetAmbiguous(order.budget_id, places)
    return found[0]


def _historian(store: Records, key: CounterKey, counted: list[Counted]) -> str:
    """Return the session whose history holds the entry.

    Its own, or the newest of those the budget counts that has not ended, or the newest of all.
    """
    if key.session_id:
        return store.require_session(key.session_id).session_id
    if not counted:
        raise NotFound("session with budget", key.budget_id)
    going = [item for item in counted if item.session.state not in SESSION_FINAL]
    return (going or counted)[-1].session.session_id


def _entry(session_id: str, order: TopUpOrder, amount: int, now_ms: int) -> Event:
    data: dict[str, str | int | float | bool | None] = {
        "budget_id": order.budget_id,
        "amount": amount,
        "reason": storable(order.reason, REASON_CHARS_MAX),
        "by": storable(order.by, WHO_CHARACTERS_MAX),
    }
    return Event(session_id, "budget_topped_up", now_ms, data=data)


def _stopped(store: Records, counted: list[Counted]) -> list[tuple[SessionRecord, TaskRecord]]:
    """Return the tasks that wait for a person because a budget could not pay for another call."""
    callers = {item.caller: item.session for item in counted}
    tasks = (
        (session, store.tasks.get(caller.session_id, caller.contract_id))
        for caller, session in callers.items()
    )
    return [
        (session, task)
        for session, task in tasks
        if task is not None and task.state == "help_needed" and _over_budget(store, task)
    ]


def _over_budget(store: Records, task: TaskRecord) -> bool:
    # An attempt that was made and ran into a limit hit another one: that of its workspace.
    return task.failure == "limit" and all(
        attempt.failure != "limit" for attempt in store.attempts.scan(task.session_id, task.task_id)
    )
