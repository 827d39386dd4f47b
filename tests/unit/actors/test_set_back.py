"""A wall clock that was set back while nothing ran: no wait becomes longer than it can be."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from maestro_actors.deadline import in_reach
from maestro_actors.help.help_desk import BACKOFF_SECONDS
from maestro_actors.kernel import VirtualClock
from maestro_actors.team import BreakerPolicy, RetryPolicy
from maestro_runtime.cli._event_line import event_text
from staging import MALFORMED, PERMANENT, SESSION, TRANSIENT, Stage, open_stage, team

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
WAIT_SECONDS = 40.0
SLOW = team(retry=RetryPolicy(backoff_seconds=WAIT_SECONDS, backoff_max_seconds=WAIT_SECONDS))
WAIT_MS = round(WAIT_SECONDS * 1000)
BRITTLE = BreakerPolicy(failures_max=1, reset_seconds=20.0, reset_max_seconds=60.0, jitter=0.0)
LATER_MS = (-10_000 * HOUR_MS, -3 * HOUR_MS, -20_000, -1, 0, 10_000, HOUR_MS)
"""How much later by its clock the next process starts; set back, mostly."""


@contextmanager
def start(tmp_path: Path, now_ms: int) -> Iterator[Stage]:
    """Start what is in the state directory, by a clock of its own; it ends like one killed."""
    stage = open_stage(tmp_path / "state", VirtualClock(now_ms))
    try:
        yield stage
    finally:
        stage.close()


@given(
    deadline=some.integers(0, 10**13), now=some.integers(0, 10**13), wait=some.integers(0, 10**9)
)
def test_a_deadline_is_never_later_than_recorded_nor_further_ahead_than_its_wait(
    deadline: int, now: int, wait: int
) -> None:
    found = in_reach(deadline, now, wait)

    assert found <= deadline
    assert found - now <= wait
    # A clock that only went on since the wait began changes nothing.
    assert found == deadline or deadline - wait > now


@pytest.mark.parametrize("later_ms", LATER_MS)
def test_a_back_off_lasts_no_longer_than_it_was_decided_to(tmp_path: Path, later_ms: int) -> None:
    with start(tmp_path, START_MS) as stage:
        stage.engines.outcomes.append(MALFORMED)
        stage.create(SLOW)
        stage.run(SLOW)
        stage.wait_for("attempt_failed")
        decided_ms = stage.task().deadline_ms
        (attempt,) = stage.attempts()
    assert attempt.delay_ms == WAIT_MS
    assert decided_ms == START_MS + WAIT_MS

    now_ms = START_MS + later_ms
    with start(tmp_path, now_ms) as stage:
        stage.run(SLOW)
        stage.advance_until("session_done")

        waited_ms = stage.attempts()[-1].started_ms - now_ms
        told = [event.data["deadline_ms"] for event in stage.events if event.kind == "task_waiting"]

    assert waited_ms == max(0, WAIT_MS - max(0, later_ms))
    assert told == ([now_ms + WAIT_MS] if later_ms < 0 else [])


def test_a_deadline_that_was_brought_back_is_on_record_and_waited_for_once(tmp_path: Path) -> None:
    with start(tmp_path, START_MS) as stage:
        stage.engines.outcomes.append(MALFORMED)
        stage.create(SLOW)
        stage.run(SLOW)
        stage.wait_for("attempt_failed")
    with start(tmp_path, START_MS - HOUR_MS) as stage:
        stage.run(SLOW)
        (told,) = stage.wait_for("task_waiting")
        assert stage.task().deadline_ms == START_MS - HOUR_MS + WAIT_MS
        assert (stage.task().state, stage.task().waits_for) == ("waiting", "deadline")
    assert event_text(told).endswith(
        "waits anew, because the wall clock was set back; goes on in 40.0 s"
    )

    with start(tmp_path, START_MS - HOUR_MS + 30_000) as stage:
        stage.run(SLOW)
        stage.advance_until("session_done")

        assert stage.attempts()[-1].started_ms == START_MS - HOUR_MS + WAIT_MS
        assert all(event.kind != "task_waiting" for event in stage.events)


@pytest.mark.parametrize("later_ms", LATER_MS)
def test_a_breaker_is_open_no_longer_than_its_longest_delay(tmp_path: Path, later_ms: int) -> None:
    quick = team(retry=RetryPolicy(backoff_seconds=0.0, round_backoff_seconds=(0.0,)))
    with start(tmp_path, START_MS) as stage:
        stage.engines.outcomes.append(TRANSIENT)
        stage.create(quick)
        stage.run(quick, BRITTLE)
        stage.wait_for("task_waiting")

    now_ms = START_MS + later_ms
    with start(tmp_path, now_ms) as stage:
        stage.run(quick, BRITTLE)
        stage.advance_until("session_done")

        probed_ms = stage.attempts()[-1].started_ms

    planned_ms = START_MS + 20_000
    assert probed_ms == max(now_ms, min(planned_ms, now_ms + 60_000))


def test_a_breaker_that_was_brought_back_is_so_on_record(tmp_path: Path) -> None:
    quick = team(retry=RetryPolicy(backoff_seconds=0.0, round_backoff_seconds=(0.0,)))
    with start(tmp_path, START_MS) as stage:
        stage.engines.outcomes.append(TRANSIENT)
        stage.create(quick)
        stage.run(quick, BRITTLE)
        stage.wait_for("task_waiting")

    with start(tmp_path, START_MS - HOUR_MS) as stage:
        stage.run(quick, BRITTLE)
        (wait,) = stage.wait_for("task_waiting")
        record = stage.store.breakers.get("scripted")

    assert record is not None
    assert (record.state, record.failures, record.opened_total) == ("open", 1, 1)
    assert record.retry_at_ms == wait.data["deadline_ms"] == START_MS - HOUR_MS + 60_000


@pytest.mark.parametrize("later_ms", LATER_MS)
def test_a_posting_waits_no_longer_than_after_so_many_tries(tmp_path: Path, later_ms: int) -> None:
    with start(tmp_path, START_MS) as stage:
        stage.tickets.held = True
        stage.engines.outcomes.append(PERMANENT)
        stage.create(team())
        stage.open_help_desk()
        stage.run(team())
        (posting,) = stage.tickets.wait_for_postings(1)
        stage.tickets.failed(posting, doubtful=False)
        stage.wait_for("ticket_delayed")
        (row,) = stage.store.outbox.scan(SESSION)
    pause_ms = round(BACKOFF_SECONDS * 1000)
    assert (row.attempts, row.deadline_ms) == (1, START_MS + pause_ms)

    now_ms = START_MS + later_ms
    with start(tmp_path, now_ms) as stage:
        stage.open_help_desk()
        stage.advance_until("ticket_filed")
        sent_ms = stage.clock.now_ms()

    assert sent_ms == now_ms + max(0, min(pause_ms, pause_ms - later_ms))
