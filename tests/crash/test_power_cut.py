"""What a power cut may leave of a run; and that the check can fail."""

from itertools import product
from pathlib import Path

import pytest

from committer import Committer
from maestro_storage.errors import StorageError
from power_cut import Left, Recording, Sync, Write
from straced import STRACE

pytestmark = pytest.mark.skipif(STRACE is None, reason="strace, which records writes, is missing")


WRITERS = {"lane": 3, "thread": 2}
"""How many threads write: one opens the state, and the first commit after that is never the lane's.
"""


@pytest.mark.parametrize("committer", ["lane", "thread"])
def test_nothing_that_left_the_process_is_lost_by_any_power_cut(
    tmp_path: Path, committer: Committer
) -> None:
    recording = Recording(tmp_path, committer=committer)

    assert recording.check(150, seed=1) > 50

    writers = {step.thread for step in recording.steps if isinstance(step, Sync)}
    assert len(writers) == WRITERS[committer]
    assert len([step for step in recording.steps if isinstance(step, Left)]) > 20
    assert {step.synced for step in recording.steps if isinstance(step, Write)} == {True, False}


@pytest.mark.parametrize(
    ("sabotage", "committer"),
    [
        *product(("unsynced", "early"), ("lane", "thread")),
        # What the lane delivers to itself it hears only when it has written.
        ("eager", "thread"),
    ],
)
def test_a_run_that_does_not_wait_for_the_disk_is_found_out(
    tmp_path: Path, sabotage: str, committer: Committer
) -> None:
    recording = Recording(tmp_path, committer=committer, sabotage=sabotage)

    with pytest.raises((AssertionError, StorageError)):
        recording.check(300, seed=1)


@pytest.mark.parametrize("committer", ["lane", "thread"])
def test_a_run_that_writes_a_transition_in_two_commits_is_found_out(
    tmp_path: Path, committer: Committer
) -> None:
    recording = Recording(tmp_path, committer=committer, sabotage="torn")

    with pytest.raises((AssertionError, StorageError)):
        recording.check(300, seed=1)
