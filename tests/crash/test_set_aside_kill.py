"""A session that no coordinator can work with is set aside once, whatever kills its process."""

import signal
from collections import Counter
from pathlib import Path

import pytest

import aside_run
import forked
from maestro_runtime import open_runtime
from maestro_storage import Store
from poisoned import cure

COMMITS_MAX = 30
BOUND_SECONDS = 20.0


def check_set_aside_once(state: Path) -> None:
    """Check that three failures were counted over all lives, and told by one ticket."""
    with Store.inspect(state) as store:
        session = store.require_session("s1")
        assert (session.state, session.set_aside, session.tickets) == ("paused", True, 1)
        kinds = Counter(event.kind for event in store.events.scan("s1"))
        assert kinds["coordinator_failed"] == 3
        assert (kinds["session_paused"], kinds["ticket_filed"]) == (1, 1)
        (row,) = store.outbox.scan("s1")
        assert row.state == "done"
        assert Path(row.reference).read_text().count("\nReference: ") == 1


def check_goes_on(state: Path) -> None:
    """Check that it comes to its end once the cause is gone."""
    with open_runtime(state) as runtime:
        cure(runtime.store, "s1")
        assert runtime.resume("s1").result(BOUND_SECONDS).state == "done"
        assert not runtime.store.require_session("s1").set_aside


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_session_killed_at_any_commit_is_set_aside_once_with_one_ticket(
    tmp_path: Path, when: str
) -> None:
    for number in range(1, COMMITS_MAX):
        state = tmp_path / str(number) / "state"
        state.parent.mkdir()
        code = forked.run(aside_run.main, str(state), when, str(number))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert forked.run(aside_run.main, str(state), "never", "0") == 0
        check_set_aside_once(state)
    check_goes_on(state)

    # The opening, three failures, the last of which sets it aside, sending and done.
    assert 6 <= number < COMMITS_MAX
