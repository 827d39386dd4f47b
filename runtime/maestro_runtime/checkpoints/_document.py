"""`checkpoint_<phase>.json`: a checkpoint as text that is the same wherever it is written.

It has the team and the tasks that need not run again, no path of this machine outside the team,
and the SHA-256 of its content. What is read is checked as a whole: it may come from anybody.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

import msgspec

from maestro_actors.sessions.session import KeptTask, Origin
from maestro_actors.sessions.summary import INIT_PHASE
from maestro_actors.team import Team
from maestro_runtime.checkpoints._report import CheckpointReport
from maestro_runtime.checkpoints._rules import (
    figure_faults,
    folder_faults,
    name_faults,
    task_faults,
    team_faults,
)

SCHEMA: Final = "maestro.checkpoint/1"
"""Of the document; a newer one is refused, never guessed."""

SCHEMA_2: Final = "maestro.checkpoint/2"
"""Of one that has decisions, or was taken on demand. A document without has no second spelling."""

DOCUMENT_BYTES_MAX: Final = 64 << 20
"""Largest document (64 MiB)."""


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a checkpoint is made of."""

    session_id: str
    number: int
    phase: str
    at_ms: int
    team: Team
    tasks: dict[str, KeptTask]
    """Done or skipped by then; all others are to be run."""
    on_demand: bool = False
    """`phase` is a name that somebody gave it."""

    @property
    def schema(self) -> str:
        """The schema of its document: the oldest that has room for it."""
        newer = self.on_demand or any(task.decisions for task in self.tasks.values())
        return SCHEMA_2 if newer else SCHEMA

    @property
    def origin(self) -> Origin:
        """What a session begins with that is made of it."""
        return Origin(
            session_id=self.session_id, phase=self.phase, number=self.number, tasks=self.tasks
        )


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    schema: str
    sha256: str = ""
    content: msgspec.Raw = msgspec.Raw(b"")


_decode: Final = msgspec.json.Decoder(_Document).decode
_decode_content: Final = msgspec.json.Decoder(Content).decode


def content_of_report(report: CheckpointReport, team: Team) -> Content:
    """Return what a document says of a checkpoint."""
    return Content(
        session_id=report.session_id,
        number=report.number,
        phase=report.phase,
        at_ms=report.at_ms,
        team=team,
        tasks=report.kept,
        on_demand=report.on_demand,
    )


def render(content: Content) -> bytes:
    """Return the one spelling of a document: keys sorted, no spaces, shortest numbers, UTF-8."""
    text = msgspec.json.encode(content, order="sorted")
    digest = hashlib.sha256(text).hexdigest()
    return b'{"content":%b,"schema":"%b","sha256":"%b"}\n' % (
        text,
        content.schema.encode(),
        digest.encode(),
    )


def parse(data: bytes) -> Content:
    """Return the content of a document, wholly checked.

    Raises:
        ValueError: It is not what `render` writes, or breaks a rule; the text says which.
    """
    try:
        document = _decode(data)
        if document.schema not in (SCHEMA, SCHEMA_2):
            rule = f"schema must be {SCHEMA!r} or {SCHEMA_2!r}"
            raise ValueError(f"{rule}, got {document.schema[:80]!r}")
        found = hashlib.sha256(document.content).hexdigest()
        if found != document.sha256:
            raise ValueError(f"sha256 of the content must be {found[:12]}, got another one")
        content = _decode_content(document.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its document must be JSON of {SCHEMA!r}: {error}") from error
    if fault := next(_faults(content), ""):
        raise ValueError(fault)
    if render(content) != data:
        raise ValueError("its document must be spelled as it is exported")
    return content


def _faults(content: Content) -> Iterator[str]:
    yield from team_faults(content.team)
    yield from name_faults((content.session_id,))
    names = {INIT_PHASE, *(phase.name for phase in content.team.phases)}
    if content.on_demand:
        yield from name_faults((content.phase,))
        if content.phase in names:
            yield f"name of a checkpoint must be that of no phase, got {content.phase[:80]!r}"
    elif content.phase not in names:
        yield f"phase must be one of the team, got {content.phase[:80]!r}"
    yield from figure_faults(number=content.number, at_ms=content.at_ms)
    contracts = {contract.id for contract in content.team.contracts}
    for task_id, task in content.tasks.items():
        if task_id not in contracts:
            yield f"task must be a contract of the team, got {task_id[:80]!r}"
        yield from task_faults(task)
    yield from folder_faults(
        {file.path for item in content.tasks.values() for file in item.artifacts}
    )
