"""Verification of a state directory: the structure of its file, then every value in it."""

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import lmdb.verify
import msgspec

from maestro_storage._environment import (
    DATA_NAME,
    FILE_NAME,
    MAP_BYTES_DEFAULT,
    Environment,
    translated,
)
from maestro_storage._ownership import owned_state
from maestro_storage._scan import Damage, scan
from maestro_storage._structure import is_sound, number_problems
from maestro_storage.errors import StateDamaged

if TYPE_CHECKING:
    from collections.abc import Callable


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found."""

    path: str
    seconds: float
    file_bytes: int
    records: dict[str, int]
    """Checked values by database; empty if the structure is broken."""
    damaged: tuple[Damage, ...]
    structure: tuple[str, ...]
    """What is wrong with the state as a whole; its records are not read then."""

    @property
    def intact(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged and not self.structure


def verify(path: Path, *, map_bytes: int = MAP_BYTES_DEFAULT) -> VerifyReport:
    """Check a state directory that nobody uses, and change nothing in it.

    Raises:
        NotFound: There is no state in `path`; nothing was created.
        StateOwned, StateNotWritable, NetworkFileSystem: See `Ownership`.
        StateTooNew, RecordTooNew: A newer version wrote it.
    """
    with translated(path), owned_state(path):
        return examine(path, map_bytes)


def examine(state_dir: Path, map_bytes: int) -> VerifyReport:
    """Check a state directory under an ownership that is already held, or a private copy."""
    started = time.monotonic()
    records: dict[str, int] = {}
    damaged: list[Damage] = []
    # Bytes first: the engine is never let loose on a structure that could harm the process.
    structure = _structure_problems(state_dir)
    if not structure:
        try:
            with contextlib.closing(Environment(state_dir, map_bytes, read_only=True)) as opened:
                records, damaged = scan(opened)
        except StateDamaged as error:
            structure = [error.detail]
    return VerifyReport(
        path=str(state_dir),
        seconds=time.monotonic() - started,
        file_bytes=(state_dir / DATA_NAME / FILE_NAME).stat().st_size,
        records=records,
        damaged=tuple(damaged),
        structure=tuple(structure),
    )


def quarantined_by(report: VerifyReport) -> dict[str, tuple[str, ...]]:
    """Return the sessions that must not be read, with what is damaged in each.

    Raises:
        StateDamaged: Some of the damage belongs to no session.
    """
    stray = [str(damage) for damage in report.damaged if not damage.session_ids]
    if report.structure or stray:
        raise StateDamaged(report.path, "; ".join([*report.structure, *stray]))
    quarantined: dict[str, tuple[str, ...]] = {}
    for damage in report.damaged:
        for session_id in damage.session_ids:
            quarantined[session_id] = (*quarantined.get(session_id, ()), str(damage))
    return quarantined


def _structure_problems(state_dir: Path) -> list[str]:
    """Return what is wrong with the data file, read as bytes and never through the engine."""
    data_file = state_dir / DATA_NAME / FILE_NAME
    if not is_sound(data_file):
        check = cast("Callable[[str], list[str]]", lmdb.verify.verify)
        try:
            problems = check(str(state_dir / DATA_NAME))
        except lmdb.verify.VerifyError as error:
            problems = [str(error)]
        if problems:
            return problems
    return number_problems(data_file)
