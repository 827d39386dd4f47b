"""What an attempt of the rehearsal engine can be told to do."""

from typing import Final, Literal, get_args

ScriptStep = Literal[
    "ok",
    "transient",
    "rate_limited",
    "malformed",
    "missing",
    "fenced",
    "trailing_comma",
    "broken",
    "unchanged",
    "refused",
    "permanent",
    "hang",
    "crash",
]

SCRIPT_STEPS: Final[tuple[ScriptStep, ...]] = get_args(ScriptStep)
"""Values a persona's `script` may hold, one per attempt of a task over all rounds."""
