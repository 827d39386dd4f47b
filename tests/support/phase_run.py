"""A process that executes phases by the team engine, and may be killed at a commit or in a call."""

import asyncio
import json
from pathlib import Path

from maestro_runtime import RuntimeOptions, open_runtime
from maestro_runtime.team_engine import TeamExecutionContext, TeamExecutionEngineV2SplitMode
from maestro_runtime.testing import KillAtCommit
from maestro_storage import _journal
from phased import phased

PAIR: dict[str, tuple[str, ...]] = {"requirements": (), "design": ("requirements",)}


def main(directory: str, how: str, kill: str, number: str) -> None:
    """Execute phases in `directory`.

    Args:
        directory: Has state, workspace, exported checkpoints, and a line for each call.
        how: "phases" for one call for each, "resume" for one call for the session.
        kill: The task in whose first call the process dies; empty: none.
        number: After which commit it dies; 0: never.
    """
    place = Path(directory)
    vars(_journal)["BATCH_TRANSITIONS_MAX"] = 1
    options = RuntimeOptions(observer=KillAtCommit(int(number), "after"))
    with open_runtime(place / "state", options) as runtime:
        engine = TeamExecutionEngineV2SplitMode(
            phased(PAIR, witness=str(place / "calls"), kill=kill),
            runtime,
            output_dir=place / "out",
            checkpoint_dir=place / "checkpoints",
        )
        context = asyncio.run(_execute(engine, how))
        (place / "context.json").write_bytes(context.to_json())


async def _execute(engine: TeamExecutionEngineV2SplitMode, how: str) -> TeamExecutionContext:
    if how == "resume":
        return await engine.resume("s")
    for phase in PAIR:
        context = await engine.execute_phase(phase, session_id="s")
    return context


def context_in(directory: Path) -> TeamExecutionContext:
    """Return the context that the last process came to."""
    return TeamExecutionContext.from_json((directory / "context.json").read_bytes())


def calls_in(directory: Path) -> list[str]:
    """Return the tasks of all calls that were made, in their order."""
    path = directory / "calls"
    return path.read_text().splitlines() if path.exists() else []


def exported_in(directory: Path) -> dict[str, bytes]:
    """Return the exported checkpoints, verified as far as they say what they are."""
    found = {path.name: path.read_bytes() for path in (directory / "checkpoints").iterdir()}
    assert all(json.loads(text)["content"]["session_id"] == "s" for text in found.values())
    return found
