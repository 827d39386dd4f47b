"""A test kit: a real runtime with virtual time, a scripted engine, and deaths at a commit.

See docs/testing.md. Only `maestro_runtime.testing.fixtures` needs pytest.
"""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader

if TYPE_CHECKING:
    from maestro_runtime.testing.deaths import KillAtCommit, When
    from maestro_runtime.testing.errors import (
        NeverStill,
        NothingHeld,
        NothingMoves,
        RuntimeDied,
        TooFewCalls,
        TrialError,
    )
    from maestro_runtime.testing.processes import end_of, run_program, start_program
    from maestro_runtime.testing.scripted import Hold, ScriptedEngine, Step, Work
    from maestro_runtime.testing.teams import simple_team
    from maestro_runtime.testing.trial import TrialRuntime, open_trial

_HOMES = {
    "Hold": "scripted",
    "KillAtCommit": "deaths",
    "NeverStill": "errors",
    "NothingHeld": "errors",
    "NothingMoves": "errors",
    "RuntimeDied": "errors",
    "ScriptedEngine": "scripted",
    "Step": "scripted",
    "TooFewCalls": "errors",
    "TrialError": "errors",
    "TrialRuntime": "trial",
    "When": "deaths",
    "Work": "scripted",
    "end_of": "processes",
    "open_trial": "trial",
    "run_program": "processes",
    "simple_team": "teams",
    "start_program": "processes",
}
"""Public names, and the module each is loaded from."""

__all__ = [
    "Hold",
    "KillAtCommit",
    "NeverStill",
    "NothingHeld",
    "NothingMoves",
    "RuntimeDied",
    "ScriptedEngine",
    "Step",
    "TooFewCalls",
    "TrialError",
    "TrialRuntime",
    "When",
    "Work",
    "end_of",
    "open_trial",
    "run_program",
    "simple_team",
    "start_program",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
