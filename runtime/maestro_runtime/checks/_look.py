"""What a check looks at, and what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from maestro_actors.checks import CheckVerdict
from maestro_actors.engine import CallOrder
from maestro_runtime.engines.protocol import EngineContext
from maestro_runtime.workspace import Fingerprint, Manifest, Workspace

FAULTS_SHOWN_MAX: Final = 3
"""Most files that a finding tells of one by one."""


@dataclass(frozen=True, slots=True)
class Look:
    """The files of one check, after the engine ended."""

    order: CallOrder
    workspace: Workspace
    before: Mapping[str, Fingerprint]
    """What was there before the engine ran."""
    manifest: Manifest
    """What the check's globs match now."""
    context: EngineContext
    """Of the call: for the processes of the check."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a check."""

    verdict: CheckVerdict
    score: float
    """0..1."""
    got: str


def passed(got: str) -> Finding:
    """Return the finding of a check that holds."""
    return Finding("pass", 1.0, got)


def failed(got: str, score: float = 0.0) -> Finding:
    """Return the finding of a check that does not hold."""
    return Finding("fail", score, got)


def undecided(got: str) -> Finding:
    """Return the finding of a check that could not be evaluated."""
    return Finding("error", 0.0, got)


def each_file(manifest: Manifest, faults: Sequence[str]) -> Finding:
    """Return the finding of a check that must hold for every file.

    A check without a file to look at fails: it was written because somebody expects one.

    Args:
        manifest: The files.
        faults: What is wrong, one sentence for each file that fails.
    """
    count = len(manifest.files)
    if not count:
        return failed(f"no file{_refused(manifest)}")
    if not faults:
        return passed(counted(count))
    more = f"; {len(faults) - FAULTS_SHOWN_MAX} more" if len(faults) > FAULTS_SHOWN_MAX else ""
    return failed("; ".join(faults[:FAULTS_SHOWN_MAX]) + more, 1 - len(faults) / count)


def counted(count: int) -> str:
    """Return a number of files in words."""
    return "1 file" if count == 1 else f"{count} files"


def _refused(manifest: Manifest) -> str:
    return f" ({manifest.refused[0]})" if manifest.refused else ""
