"""A session that comes to its end while somebody resumes it."""

from pathlib import Path

import pytest

from maestro_runtime._phase_verbs import PhaseVerbs
from maestro_runtime.testing import Hold, TrialRuntime
from staging import contract, team


def test_a_session_that_ends_while_it_is_resumed_is_just_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = TrialRuntime(tmp_path)
    trial.engine.otherwise = Hold()
    trial.start(team(contract("a")), "s")
    trial.rest()
    note = vars(PhaseVerbs)["_note_changes"]

    def end_meanwhile(*arguments: object) -> None:
        note(trial.runtime, *arguments)
        trial.engine.release()
        trial.rest()

    monkeypatch.setattr(trial.runtime, "_note_changes", end_meanwhile)

    try:
        assert trial.runtime.resume("s").report().state == "done"
    finally:
        trial.kill()
