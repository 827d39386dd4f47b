import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_storage import RetentionPolicy
from maestro_storage._retention import expired
from maestro_storage.records import SESSION_FINAL, SessionRecord, SessionState

DAY_MS = 24 * 60 * 60 * 1000
STATES: list[SessionState] = ["running", "done", "failed", "help_needed", "cancelled"]


def session(name: str, finished_ms: int, state: SessionState = "done") -> SessionRecord:
    return SessionRecord(
        session_id=name,
        state=state,
        team_name="team",
        team=b"",
        output_dir="",
        input_dir=None,
        created_ms=0,
        updated_ms=finished_ms,
        finished_ms=finished_ms,
    )


def test_sessions_beyond_the_age_are_dropped() -> None:
    sessions = [session("new", 31 * DAY_MS), session("edge", 2 * DAY_MS), session("old", DAY_MS)]

    assert expired(sessions, {}, RetentionPolicy(), 32 * DAY_MS) == ["old"]


def test_the_oldest_sessions_beyond_the_count_are_dropped() -> None:
    sessions = [session(f"s-{number}", number) for number in (3, 1, 4, 2)]

    assert expired(sessions, {}, RetentionPolicy(sessions_max=2), 5) == ["s-1", "s-2"]


def test_the_oldest_sessions_beyond_the_bytes_are_dropped() -> None:
    sessions = [session(f"s-{number}", number) for number in (1, 2, 3)]
    sizes = {"s-1": 10, "s-2": 10, "s-3": 10}

    assert expired(sessions, sizes, RetentionPolicy(bytes_max=20), 4) == ["s-1"]


def test_a_final_session_without_an_end_is_as_old_as_its_last_change() -> None:
    record = SessionRecord(
        session_id="s",
        state="failed",
        team_name="",
        team=b"",
        output_dir="",
        input_dir=None,
        created_ms=0,
        updated_ms=DAY_MS,
    )

    assert expired([record], {}, RetentionPolicy(age_days=1), 2 * DAY_MS) == []
    assert expired([record], {}, RetentionPolicy(age_days=1), 2 * DAY_MS + 1) == ["s"]


@given(
    st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 100), st.integers(0, 50))),
    st.integers(0, 10),
    st.integers(0, 200),
)
def test_what_is_kept_fits_the_policy_and_nothing_live_is_dropped(
    drawn: list[tuple[SessionState, int, int]], sessions_max: int, bytes_max: int
) -> None:
    sessions = [session(f"s-{i:03}", end, state) for i, (state, end, _) in enumerate(drawn)]
    sizes = {f"s-{i:03}": size for i, (_, _, size) in enumerate(drawn)}
    policy = RetentionPolicy(sessions_max=sessions_max, bytes_max=bytes_max)

    dropped = expired(sessions, sizes, policy, 100)

    final = [record for record in sessions if record.state in SESSION_FINAL]
    kept = [record for record in final if record.session_id not in dropped]
    assert set(dropped) <= {record.session_id for record in final}
    assert len(kept) <= sessions_max
    assert sum(sizes[record.session_id] for record in kept) <= bytes_max
    if dropped and kept:
        ends = {record.session_id: record.updated_ms for record in final}
        assert max(ends[name] for name in dropped) <= min(record.updated_ms for record in kept)


@pytest.mark.parametrize("state", ["running", "help_needed"])
def test_a_live_session_outlives_every_limit(state: SessionState) -> None:
    policy = RetentionPolicy(age_days=0, sessions_max=0, bytes_max=0)

    assert expired([session("s", 0, state)], {"s": 1}, policy, 1 << 40) == []
