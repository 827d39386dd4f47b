"""What a power cut may leave of a run; and that the check can fail."""

from pathlib import Path

import pytest

from maestro_storage.errors import StorageError
from power_cut import Left, Recording, Write
from straced import STRACE

pytestmark = pytest.mark.skipif(STRACE is None, reason="strace, which records writes, is missing")


def test_nothing_that_left_the_process_is_lost_by_any_power_cut(tmp_path: Path) -> None:
    recording = Recording(tmp_path)

    assert recording.check(300, seed=1) > 100

    assert len([step for step in recording.steps if isinstance(step, Left)]) > 20
    assert {step.synced for step in recording.steps if isinstance(step, Write)} == {True, False}


@pytest.mark.parametrize("sabotage", ["unsynced", "early"])
def test_a_run_that_does_not_wait_for_the_disk_is_found_out(tmp_path: Path, sabotage: str) -> None:
    recording = Recording(tmp_path, sabotage=sabotage)

    with pytest.raises((AssertionError, StorageError)):
        recording.check(300, seed=1)
