import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from maestro_actors.engine import Usage
from maestro_actors.errors import TokenBudgetExceeded, UsageInvalid
from maestro_actors.ledger.budget import HOUR_MS
from maestro_actors.ledger.errors import LedgerConflict
from maestro_runtime import TokenTracker
from maestro_runtime.statements.usage import UsageQuery, usage
from maestro_runtime.token_tracker import TRACKER_SESSION
from maestro_storage import Store
from maestro_storage.errors import StateOwned

Open = Callable[..., TokenTracker]


@pytest.fixture(params=["memory", "state directory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Open a tracker of either kind."""
    state_dir = None if request.param == "memory" else tmp_path / "state"

    def open_(budgets: int | dict[str, int] = 1_000) -> TokenTracker:
        tracker = TokenTracker(max_tokens_per_persona=budgets, state_dir=state_dir)
        request.addfinalizer(tracker.close)
        return tracker

    return open_


def test_recorded_tokens_add_up_by_persona(opened: Open) -> None:
    tracker = opened()

    tracker.record("dev", input_tokens=60, output_tokens=40)
    tracker.record("qa", input_tokens=5)
    used = tracker.record("dev", Usage(input_tokens=10, cache_read_tokens=9, basis="provider"))

    assert (used.tokens_used, used.budget, used.tokens_left) == (110, 1_000, 890)
    assert tracker.get_usage("dev") == used
    report = tracker.get_report()
    assert {name: row.tokens_used for name, row in report.items()} == {"dev": 110, "qa": 5}


def test_tokens_of_an_unknown_kind_are_booked_beside_the_others(opened: Open) -> None:
    with opened(100) as tracker:
        assert tracker.record("dev", tokens=30).tokens_used == 30
        assert tracker.record(persona_id="dev", tokens=5, output_tokens=5).tokens_used == 40


def test_a_persona_without_a_call_has_used_nothing(opened: Open) -> None:
    tracker = opened({"dev": 7})

    assert (tracker.get_usage("dev").tokens_used, tracker.get_usage("dev").budget) == (0, 7)
    assert tracker.get_report() == {}


def test_a_call_that_exceeds_the_budget_is_booked_before_it_is_reported(opened: Open) -> None:
    tracker = opened(100)
    tracker.record("dev", input_tokens=100)

    with pytest.raises(TokenBudgetExceeded) as raised:
        tracker.record("dev", input_tokens=30)

    assert str(raised.value) == (
        "token budget of persona 'dev' cannot pay for another call: "
        "limit 100, spent 100, reserved 0, needed 30"
    )
    assert tracker.get_usage("dev").tokens_used == 130


def test_a_call_with_a_key_is_booked_once(opened: Open) -> None:
    tracker = opened()

    first = tracker.record("dev", input_tokens=60, key="call-1")

    assert tracker.record("dev", input_tokens=60, key="call-1") == first
    with pytest.raises(LedgerConflict, match=r"^call 'call-1' was recorded with other figures$"):
        tracker.record("dev", input_tokens=61, key="call-1")
    assert tracker.get_usage("dev").tokens_used == 60


def test_figures_that_cannot_be_and_unknown_personas_are_not_booked(opened: Open) -> None:
    tracker = opened({"dev": 100})

    with pytest.raises(UsageInvalid):
        tracker.record("dev", input_tokens=-1)
    with pytest.raises(KeyError):
        tracker.record("qa", input_tokens=1)
    assert tracker.get_report() == {}


def test_threads_that_record_the_same_calls_book_each_once(opened: Open) -> None:
    tracker = opened(10_000)
    barrier = threading.Barrier(16)

    def work() -> None:
        barrier.wait(20)
        for number in range(20):
            tracker.record("dev", input_tokens=3, key=f"call-{number}")
            tracker.record("dev", output_tokens=1)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert tracker.get_usage("dev").tokens_used == 20 * 3 + 16 * 20


def test_books_in_a_state_directory_go_on_after_a_restart(tmp_path: Path) -> None:
    with TokenTracker(max_tokens_per_persona=1_000, state_dir=tmp_path) as tracker:
        tracker.record("dev", input_tokens=60, output_tokens=40, key="call-1")

    with TokenTracker(max_tokens_per_persona=100, state_dir=tmp_path) as tracker:
        assert tracker.get_report()["dev"].tokens_used == 100
        assert tracker.record("dev", input_tokens=60, output_tokens=40, key="call-1").budget == 100
        with pytest.raises(TokenBudgetExceeded):
            tracker.record("dev", input_tokens=1)
    with Store.inspect(tmp_path) as view:
        calls = list(view.calls.scan(TRACKER_SESSION))
        (budget,) = view.budgets.scan(TRACKER_SESSION)
    assert budget.spent_tokens == sum(call.input_tokens + call.output_tokens for call in calls)
    assert (budget.spent_tokens, budget.held_tokens, budget.limit_tokens) == (101, 0, 100)


def test_the_history_of_usage_has_every_call_once_across_restarts(tmp_path: Path) -> None:
    # Not long ago: each start drops what is too old by the wall clock.
    latest_ms = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS
    for now_ms in (latest_ms - 2 * HOUR_MS, latest_ms - 2 * HOUR_MS + 1, latest_ms):
        with TokenTracker(
            max_tokens_per_persona=1_000, state_dir=tmp_path, now_ms=partial(int, now_ms)
        ) as tracker:
            tracker.record("dev", input_tokens=60, output_tokens=40)
            tracker.record("dev", input_tokens=1, key="call-1")

    with Store.inspect(tmp_path) as view:
        rows = usage(view, UsageQuery(by=("session", "persona", "hour")))
    assert {(row.group["session"], row.group["persona"]) for row in rows} == {
        (TRACKER_SESSION, "dev")
    }
    assert [(row.calls, row.tokens, row.cost_nano_usd) for row in rows] == [
        (3, 201, None),
        (1, 100, None),
    ]


def test_books_of_different_sessions_are_apart(tmp_path: Path) -> None:
    for session_id in ("one", "two"):
        with TokenTracker(
            max_tokens_per_persona=100, state_dir=tmp_path, session_id=session_id
        ) as tracker:
            assert tracker.record("dev", input_tokens=60, key="call-1").tokens_used == 60


def test_a_state_directory_has_one_tracker_at_a_time(tmp_path: Path) -> None:
    with (
        TokenTracker(max_tokens_per_persona=1, state_dir=tmp_path),
        pytest.raises(StateOwned, match="which does not listen"),
    ):
        TokenTracker(max_tokens_per_persona=1, state_dir=tmp_path)
