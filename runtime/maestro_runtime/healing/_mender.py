"""Finds repairs that make checks pass, without writing anything."""

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from maestro_actors.engine import Artifact, CallOrder, Outcome
from maestro_actors.team import Contract
from maestro_actors.text import storable
from maestro_runtime.checks import ContentCheck, ContentChecks
from maestro_runtime.edits import Edit, SearchReplace, WholeFile
from maestro_runtime.edits.plan import PLAN_BYTES_MAX
from maestro_runtime.engines.driver import Driver
from maestro_runtime.engines.protocol import EngineContext, Mending
from maestro_runtime.healing._packages import missing_markers
from maestro_runtime.healing.fixes import Fix
from maestro_runtime.workspace import Glob, PathEscapes, Workspace

NOTE_CHARACTERS_MAX: Final = 1_000
"""Longest note about a fix that failed."""

FILES_MAX: Final = 50
"""Most files that are repaired after one attempt."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """A file, and what it could be; the text at 0 is the one on disk."""

    path: str
    texts: tuple[str, ...]
    names: tuple[str, ...]
    """Of the fixes that led to each text; empty for the first."""


class FileMender:
    """The mender of an engine host. Belongs to the host's event loop.

    Args:
        driver: Starts the processes that judge repaired texts; closed with this.
        fixes: Tried in order, each on what the one before has left.
    """

    def __init__(self, driver: Driver, fixes: Sequence[Fix]) -> None:
        self._driver = driver
        self._content = ContentChecks(driver)
        self._fixes = fixes

    async def mend(self, order: CallOrder, outcome: Outcome, context: EngineContext) -> Mending:
        """Return the repairs of files of the contract; see `Mender`."""
        workspace = Workspace(order.workspace)
        markers = missing_markers(order.contract, outcome)
        if markers:
            markers = await asyncio.to_thread(_absent, workspace, markers)
        edits: list[Edit] = [WholeFile(path=path, content="") for path in markers]
        notes: list[str] = []
        broken = _broken(order.contract, outcome)
        if broken:
            trials = await asyncio.to_thread(_trials, self._fixes, workspace, broken, notes)
            for trial, best in zip(trials, await self._best(order, trials, context), strict=True):
                if best:
                    # All of it, so that a file somebody has changed since is left alone.
                    was, mended = trial.texts[0], trial.texts[best]
                    edits.append(SearchReplace(path=trial.path, search=was, replace=mended))
                    notes.append(f"{trial.names[best]}: {trial.path}")
        return Mending(edits=tuple(edits), created=markers, notes=tuple(notes))

    async def close(self) -> None:
        """Kill what runs."""
        await self._driver.close()

    async def _best(
        self, order: CallOrder, trials: Sequence[_Trial], context: EngineContext
    ) -> list[int]:
        """Return, for each file, the first text that is better than the one on disk, or 0.

        Better means that it passes a check that the other fails, and fails none the other passes.
        """
        failed: dict[str, set[int]] = {
            _name(place, number): set()
            for place, trial in enumerate(trials)
            for number in range(len(trial.texts))
        }
        for index, (check, globs) in enumerate(order.contract.owed_checks):
            if not isinstance(check, ContentCheck):
                continue
            contents = _looked_at(globs, trials)
            if not contents:
                continue
            failing = await self._content.failing(check, contents, order.call_id, context)
            if failing is None:
                return [0] * len(trials)
            for name in failing:
                failed[name].add(index)
        return [
            next(
                (
                    number
                    for number in range(1, len(trial.texts))
                    if failed[_name(place, number)] < failed[_name(place, 0)]
                ),
                0,
            )
            for place, trial in enumerate(trials)
        ]


def _name(place: int, number: int) -> str:
    """Return what a text of a trial is called while it is judged."""
    return f"{place}.{number}"


def _looked_at(globs: Sequence[str], trials: Sequence[_Trial]) -> dict[str, bytes]:
    """Return all texts of the files that one of the globs matches."""
    patterns = [Glob(glob) for glob in globs]
    return {
        _name(place, number): text.encode()
        for place, trial in enumerate(trials)
        if any(pattern.matches(trial.path) for pattern in patterns)
        for number, text in enumerate(trial.texts)
    }


def _broken(contract: Contract, outcome: Outcome) -> dict[str, tuple[Artifact, set[str]]]:
    """Return the files of the contract that a failed check of content looks at, by path.

    With each come the kinds of these checks; whether the file itself is at fault is not known.
    """
    owed = contract.owed_checks
    broken: dict[str, tuple[Artifact, set[str]]] = {}
    for result in outcome.checks:
        check, globs = owed[result.index]
        if result.verdict != "fail" or not isinstance(check, ContentCheck):
            continue
        patterns = [Glob(glob) for glob in globs]
        for artifact in outcome.artifacts:
            if any(pattern.matches(artifact.path) for pattern in patterns):
                broken.setdefault(artifact.path, (artifact, set()))[1].add(check.kind)
    return broken


def _trials(
    fixes: Sequence[Fix],
    workspace: Workspace,
    broken: Mapping[str, tuple[Artifact, set[str]]],
    notes: list[str],
) -> list[_Trial]:
    """Return what the fixes make of the files that they change. Blocks on the disk.

    What does not fit into one edit plan, with all that is tried out, is left as it is.
    """
    trials: list[_Trial] = []
    left_bytes = PLAN_BYTES_MAX
    for path, (artifact, kinds) in broken.items():
        text = _text_of(workspace, artifact)
        if text is None:
            continue
        texts, names = [text], [""]
        for fix in fixes:
            try:
                if kinds.isdisjoint(fix.checks):
                    continue
                mended = fix.mend(path, texts[-1])
                (mended or "").encode()
            except Exception as error:  # noqa: BLE001 - foreign code; the others go on without it
                note = f"{fix.name} failed: {type(error).__name__}: {error}"
                notes.append(storable(note, NOTE_CHARACTERS_MAX))
                continue
            if mended is not None and mended != texts[-1]:
                names.append(f"{names[-1]}, {fix.name}" if names[-1] else fix.name)
                texts.append(mended)
        size_bytes = sum(len(text.encode()) for text in texts)
        if len(texts) > 1 and size_bytes <= left_bytes and len(trials) < FILES_MAX:
            left_bytes -= size_bytes
            trials.append(_Trial(path, tuple(texts), tuple(names)))
    return trials


def _absent(workspace: Workspace, paths: Sequence[str]) -> tuple[str, ...]:
    """Return the paths where nothing is, not even a link. Blocks on the disk."""
    return tuple(path for path in paths if not os.path.lexists(workspace.root / path))


def _text_of(workspace: Workspace, artifact: Artifact) -> str | None:
    """Return the text that was judged; None if it is no text, too large, or another by now."""
    if artifact.size_bytes > PLAN_BYTES_MAX:
        return None
    try:
        content = workspace.read_bytes(artifact.path, PLAN_BYTES_MAX)
        if content is None or hashlib.sha256(content).hexdigest() != artifact.sha256:
            return None
        return content.decode()
    except (PathEscapes, UnicodeDecodeError):
        return None
