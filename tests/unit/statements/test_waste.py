import pytest

from ledger_rows import begin, call, write
from maestro_runtime.statements.waste import WasteRow, waste
from maestro_storage import Store
from maestro_storage.errors import NotFound
from maestro_storage.records import AttemptRecord, AttemptState, TaskRecord, TaskState
from staging import team


def task(name: str, state: TaskState) -> TaskRecord:
    return TaskRecord(
        session_id="s1",
        task_id=name,
        phase="build",
        persona_id="dev",
        engine="rehearsal",
        state=state,
        waits_for="nothing",
    )


def attempt(number: int, name: str, state: AttemptState, failure: str = "") -> AttemptRecord:
    return AttemptRecord(
        session_id="s1",
        task_id=name,
        ordinal=number,
        round=1,
        attempt=number,
        call_id=number.to_bytes(16, "big"),
        state=state,
        failure=failure,
    )


def test_what_was_paid_is_used_wasted_or_undecided(store: Store) -> None:
    write(
        store,
        task("done", "done"),
        task("failed", "failed"),
        task("skipped", "skipped"),
        task("waits", "help_needed"),
        attempt(1, "done", "failed", "transient"),
        attempt(2, "done", "interrupted", "interrupted"),
        attempt(3, "done", "ok"),
        attempt(4, "failed", "failed", "transient"),
        attempt(5, "failed", "ok"),
        attempt(6, "skipped", "ok"),
        attempt(7, "waits", "failed", "permanent"),
        attempt(8, "waits", "open"),
        call(1, task="done", closed_ms=1, input_tokens=1, cost_basis="table", cost_nano_usd=5),
        call(2, task="done", closed_ms=1, input_tokens=20, state="lost"),
        call(3, task="done", closed_ms=1, input_tokens=300, output_tokens=1),
        call(4, task="failed", closed_ms=1, input_tokens=4_000),
        call(5, task="failed", closed_ms=1, input_tokens=50_000),
        call(6, task="skipped", closed_ms=1, output_tokens=600_000),
        call(7, task="waits", closed_ms=1, input_tokens=7_000_000),
        call(8, task="waits", state="open", input_tokens=8),
        call(9, task="", persona="tracked", closed_ms=1, input_tokens=9),
    )

    assert waste(store) == [
        WasteRow(
            persona_id="dev",
            tokens=7_654_322,
            used_tokens=301,
            wasted_tokens=654_021,
            undecided_tokens=7_000_000,
            wasted_calls=5,
            wasted_nano_usd=5,
            wasted_unpriced_calls=4,
            reasons={
                "interrupted": 20,
                "task_failed": 50_000,
                "task_skipped": 600_000,
                "transient": 4_001,
            },
        )
    ]


def test_waste_without_any_price_has_none(store: Store) -> None:
    write(store, task("failed", "failed"), call(1, task="failed", closed_ms=1, input_tokens=4))

    (row,) = waste(store)

    assert (row.wasted_nano_usd, row.wasted_tokens) == (None, 4)


def test_waste_is_that_of_one_session_if_one_is_named(store: Store) -> None:
    begin(store, "s1", team(), 0)
    begin(store, "s2", team(), 0)
    write(
        store,
        call(1, closed_ms=1, input_tokens=4),
        call(2, session="s2", closed_ms=1, input_tokens=70),
    )

    assert [row.undecided_tokens for row in waste(store, "s2")] == [70]
    assert [row.undecided_tokens for row in waste(store)] == [74]
    with pytest.raises(NotFound):
        waste(store, "s3")
