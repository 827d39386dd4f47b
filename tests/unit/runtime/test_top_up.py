from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from ledger_rows import begin, write
from maestro_actors.ledger.budget import DAY_MS, HOUR_MS, Budget
from maestro_actors.ledger.errors import BudgetInvalid
from maestro_actors.messages import ToppedUp
from maestro_actors.team import Team
from maestro_runtime.at_rest.top_up import top_up
from maestro_runtime.errors import BudgetAmbiguous
from maestro_runtime.statements.budgets import budgets
from maestro_runtime.top_up import TopUpOrder
from maestro_storage import Store
from maestro_storage.bookings import CounterKey
from maestro_storage.errors import NotFound
from maestro_storage.records import AttemptRecord, CounterRecord, SessionState, TaskState
from staging import contract, team

NOW_MS = 500 * DAY_MS + HOUR_MS
DAILY = Budget(id="day", window="day", limit=100)
USD = Budget(id="usd", window="month", metric="money", limit=1)
OF_TASK = Budget(id="each", scope="contract", limit=5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A state directory of its own."""
    with Store.open(tmp_path / "state") as opened:
        yield opened


def with_budgets(*given: Budget) -> Team:
    return msgspec.structs.replace(
        team(contract("c1"), contract("c2"), token_budget=70), budgets=given
    )


def order(budget_id: str, amount: str = "5", **fields: str) -> TopUpOrder:
    return TopUpOrder(
        budget_id=budget_id,
        amount=Decimal(amount),
        **{"reason": "more", "by": "ann", **fields},
    )


def stop(store: Store, session: str, task_id: str, failure: str = "limit") -> None:
    """End a task and its session as a budget does that parks, or as another failure does."""
    task = store.tasks.get(session, task_id)
    assert task is not None
    write(
        store,
        msgspec.structs.replace(
            task, state="help_needed", waits_for="person", failure=failure, attempt=1
        ),
    )
    end(store, session, "help_needed")


def end(store: Store, session: str, state: SessionState) -> None:
    write(store, msgspec.structs.replace(store.require_session(session), state=state))


def states(store: Store, session: str) -> dict[str, TaskState]:
    return {task.task_id: task.state for task in store.tasks.scan(session)}


def kinds(store: Store, session: str) -> list[str]:
    return [event.kind for event in store.events.scan(session)]


def test_a_top_up_raises_the_limit_in_the_running_window_and_is_in_the_history(
    store: Store,
) -> None:
    begin(store, "s1", with_budgets(DAILY), NOW_MS)

    done = top_up(store, order("day"), NOW_MS)

    assert done == ToppedUp(
        budget_id="day",
        metric="total",
        subject="",
        session_id="",
        limit=105,
        left=105,
        retried=(),
    )
    (row,) = budgets(store, NOW_MS, 1, budget_id="day")
    assert (row.limit, row.topped_up, row.start_ms) == (105, 5, 500 * DAY_MS)
    (event,) = [e for e in store.events.scan("s1") if e.kind == "budget_topped_up"]
    assert event.data == {"budget_id": "day", "amount": 5, "reason": "more", "by": "ann"}


def test_top_ups_add_up_and_end_with_their_window(store: Store) -> None:
    begin(store, "s1", with_budgets(DAILY), NOW_MS)

    limits = [top_up(store, order("day"), at_ms).limit for at_ms in (NOW_MS, NOW_MS + 1)]
    limits.append(top_up(store, order("day"), NOW_MS + DAY_MS).limit)

    assert limits == [105, 110, 105]


def test_money_is_topped_up_in_usd(store: Store) -> None:
    begin(store, "s1", with_budgets(USD), NOW_MS)

    assert top_up(store, order("usd", "0.000000002"), NOW_MS).limit == 3


def test_the_token_budget_of_a_persona_is_topped_up_in_one_session(store: Store) -> None:
    for session in ("s1", "s2"):
        begin(store, session, with_budgets(), NOW_MS)

    done = top_up(store, order("persona/dev", session_id="s2"), NOW_MS)

    assert (done.limit, done.session_id, done.subject) == (75, "s2", "dev")
    row = store.budgets.get("s2", "dev")
    assert row is not None
    assert (row.limit_tokens, row.topped_up_tokens) == (75, 5)
    assert store.budgets.get("s1", "dev") is None


def test_tasks_that_a_budget_has_stopped_are_tried_again_in_the_same_transition(
    store: Store,
) -> None:
    """Of every session that the budget counts."""
    for session in ("s1", "s2"):
        begin(store, session, with_budgets(DAILY), NOW_MS)
        stop(store, session, "c1")

    done = top_up(store, order("day"), NOW_MS)

    assert done.retried == (("s1", "c1"), ("s2", "c1"))
    for session in ("s1", "s2"):
        assert store.require_session(session).state == "running"
        assert states(store, session) == {"c1": "queued", "c2": "queued"}
        assert kinds(store, session)[-1] == "task_answered"
    assert [kinds(store, session).count("budget_topped_up") for session in ("s1", "s2")] == [0, 1]


def test_tasks_that_wait_for_a_person_for_other_reasons_go_on_waiting(store: Store) -> None:
    begin(store, "s1", with_budgets(OF_TASK), NOW_MS)
    stop(store, "s1", "c1", "permanent")
    stop(store, "s1", "c2")
    # An attempt that was made and exceeded a limit was not stopped by a budget.
    write(
        store,
        AttemptRecord(
            session_id="s1",
            task_id="c2",
            ordinal=1,
            round=1,
            attempt=1,
            call_id=b"",
            state="failed",
            failure="limit",
        ),
    )

    for name in ("c1", "c2"):
        assert top_up(store, order("each", subject=name), NOW_MS).retried == ()

    assert states(store, "s1") == {"c1": "help_needed", "c2": "help_needed"}
    assert store.require_session("s1").state == "help_needed"


def test_a_task_that_the_budget_does_not_count_goes_on_waiting(store: Store) -> None:
    begin(store, "s1", with_budgets(OF_TASK), NOW_MS)
    stop(store, "s1", "c1")

    assert top_up(store, order("each", subject="c2"), NOW_MS).retried == ()


def test_a_budget_of_sessions_that_have_ended_is_topped_up_for_the_next_one(store: Store) -> None:
    begin(store, "s1", with_budgets(DAILY), NOW_MS)
    end(store, "s1", "failed")

    assert top_up(store, order("day"), NOW_MS).limit == 105
    assert kinds(store, "s1")[-1] == "budget_topped_up"


def test_the_entry_is_in_the_history_of_a_session_that_goes_on(store: Store) -> None:
    begin(store, "s1", with_budgets(DAILY), NOW_MS)
    begin(store, "s2", with_budgets(DAILY), NOW_MS + 1)
    end(store, "s2", "failed")

    top_up(store, order("day"), NOW_MS)

    assert kinds(store, "s1")[-1] == "budget_topped_up"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (order("day", "0"), "a whole number, above 0 and at most 1000000000000, got '0'"),
        (order("day", "-1"), "above 0"),
        (order("day", "0.5"), "must be a whole number"),
        (order("day", "1000000000001"), "at most 1000000000000"),
        (order("day", "NaN"), "got 'NaN'"),
        (order("day", "Infinity"), "got 'Infinity'"),
        (order("usd", "1000000.1"), "must be an amount of USD with at most 9 decimals"),
        (order("usd", "0.0000000001"), "must be an amount of USD with at most 9 decimals"),
    ],
)
def test_an_amount_that_cannot_be_added_is_refused(
    store: Store, given: TopUpOrder, text: str
) -> None:
    begin(store, "s1", with_budgets(DAILY, USD), NOW_MS)

    with pytest.raises(BudgetInvalid) as raised:
        top_up(store, given, NOW_MS)

    assert str(raised.value).startswith(f"top-up of budget {given.budget_id!r} must be ")
    assert text in str(raised.value)
    assert "budget_topped_up" not in kinds(store, "s1")


def test_whoever_tops_up_and_why_is_kept_as_far_as_it_can_be(store: Store) -> None:
    begin(store, "s1", with_budgets(DAILY), NOW_MS)

    top_up(store, order("day", reason="\udcff", by="x" * (1 << 21)), NOW_MS)

    *_, event = store.events.scan("s1")
    assert (event.data["reason"], event.data["by"]) == ("?", "x" * 200)


@pytest.mark.parametrize("reason", ["", "x" * 501])
def test_a_reason_is_required_and_short(store: Store, reason: str) -> None:
    with pytest.raises(BudgetInvalid) as raised:
        top_up(store, order("day", reason=reason), NOW_MS)

    assert str(raised.value) == (
        "reason for a top-up of budget 'day' must have 1 to 500 characters, got "
        + repr(reason[:80])
    )


@pytest.mark.parametrize(
    "given",
    [order("month"), order("day", subject="dev"), order("persona/dev", session_id="s2")],
    ids=["budget", "subject", "session"],
)
def test_a_budget_without_a_running_window_is_not_found(store: Store, given: TopUpOrder) -> None:
    begin(store, "s1", with_budgets(DAILY), NOW_MS)

    with pytest.raises(NotFound, match=rf"no such running budget: '{given.budget_id}'"):
        top_up(store, given, NOW_MS)


def test_the_budget_of_a_persona_ends_with_its_session(store: Store) -> None:
    begin(store, "s1", with_budgets(DAILY), NOW_MS)
    end(store, "s1", "failed")

    with pytest.raises(NotFound):
        top_up(store, order("persona/dev"), NOW_MS)


def test_a_counter_that_no_session_knows_any_more_cannot_be_topped_up(store: Store) -> None:
    key = CounterKey("", "day", "day/total", "", 500 * DAY_MS)
    row = CounterRecord(
        counter=key,
        limit=100,
        spent=1,
        held=0,
        topped_up=0,
        version=1,
        alert_permille=(),
        fired=(),
        steps=(),
        updated_ms=NOW_MS,
        epoch=1,
    )
    write(store, row)

    with pytest.raises(NotFound, match="no such session with budget: 'day'"):
        top_up(store, order("day"), NOW_MS)

    assert store.counters.get(*key) == row


def test_a_budget_that_counts_several_apart_must_be_told_which(store: Store) -> None:
    begin(store, "s1", with_budgets(OF_TASK), NOW_MS)

    with pytest.raises(BudgetAmbiguous) as raised:
        top_up(store, order("each"), NOW_MS)

    assert str(raised.value) == (
        "budget 'each' must mean one counter, it has "
        "session 's1', subject 'c1', rule 'session/total'; "
        "session 's1', subject 'c2', rule 'session/total'"
    )
    assert top_up(store, order("each", subject="c1"), NOW_MS).limit == 10


def test_an_ambiguous_budget_names_ten_counters_at_most() -> None:
    places = tuple(("", f"c{number:02}", "day/total") for number in range(12))

    text = str(BudgetAmbiguous("each", places))

    assert text.count("subject") == 10
    assert text.endswith("subject 'c09', rule 'day/total' and 2 more")
