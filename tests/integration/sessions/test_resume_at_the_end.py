"""A session that comes to its end while somebody resumes it."""

from pathlib import Path
from typing import Any

import pytest

from maestro_actors.team import Team
from maestro_runtime.testing import Hold, TrialRuntime
from maestro_runtime.verbs import Foundation
from staging import contract, team


def test_a_session_that_ends_while_it_is_resumed_is_just_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = TrialRuntime(tmp_path)
    trial.engine.otherwise = Hold()
    trial.start(team(contract("a")), "s")
    trial.rest()
    note = Foundation.note_changes

    def end_meanwhile(base: Foundation, session_id: str, stored: Team, *others: Any) -> None:
        note(base, session_id, stored, *others)
        trial.engine.release()
        trial.rest()

    monkeypatch.setattr(Foundation, "note_changes", end_meanwhile)

    try:
        assert trial.runtime.resume("s").report().state == "done"
    finally:
        trial.kill()
