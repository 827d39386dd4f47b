"""A session as programs see it: the order that describes it, and the handle that waits for it."""

import hashlib
import os
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from maestro_actors.kernel import LaneFuture
from maestro_actors.messages import encode
from maestro_actors.team import Team
from maestro_runtime.config.context import read_context
from maestro_runtime.errors import (
    HelpNeeded,
    InputsInvalid,
    SessionNameInvalid,
    SessionOfParent,
)
from maestro_runtime.given import Given
from maestro_runtime.reports.session import SessionReport, session_report
from maestro_runtime.stream import EventSource, EventStream
from maestro_storage import Records
from maestro_storage.plan import Plan

T = TypeVar("T")

SESSION_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Form of a session id."""

CANCEL_SECONDS: Final = 5.0
"""How long engines in flight may take to stop when a session is cancelled."""

CANCEL_SECONDS_MAX: Final = 86_400.0
"""A longer deadline is this one (1 day)."""

_encode_sorted: Final = msgspec.msgpack.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class SessionOrder:
    """What a session is to be."""

    team: Team
    session_id: str | None = None
    """None: derived from everything else, so that the same order finds the same session."""
    output_dir: Path | None = None
    """The workspace; None: `maestro-output/<session id>` under `base_dir`."""
    input_dir: Path | None = None
    """The source tree to work on, if the team needs one."""
    context: Mapping[str, Any] | None = None
    """What applies to every persona in this session, over team file, environment and flags; see
    `config.read_context`. A resumed session keeps it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the session is found by: at most 16; see `labels.checked_labels`."""
    idempotency_key: str | None = None
    """Names the order: given again with the same input, it finds the session that it has started,
    with another input it is a conflict. 1 to 128 printable characters, without blanks. The key goes
    with its session."""
    accept_changes: bool = False
    """If the session exists and has another team, it goes on with this one; see `Runtime.resume`.
    False: that is a conflict."""
    start_at: str | None = None
    """The first phase to run: what all phases before it would have delivered is `given`. None: all
    run."""
    given: Given = field(default_factory=Given)
    """Files in place of the phases before `start_at`, and a context for all personas. A session
    that exists must have begun with them."""
    priority: int = 0
    """-100 to 100: it goes before sessions with less, for room at limits and in the queue. One that
    exists keeps what it has."""
    plan: Plan = ()
    """What runs before the session stops; empty: everything. For a session that exists and does
    not run: what it runs from now on, empty for what is left of its plan."""
    base_dir: Path | None = None
    """Where a workspace that is not named is made; None: the current directory. It does not tell
    orders apart."""

    @property
    def effective_team(self) -> Team:
        """The team with the context in it: what the session is started with, and keeps.

        Raises:
            ContextInvalid: The context breaks a rule.
            InputsInvalid: What is given is not JSON, or there is nothing it could be given for.
        """
        team = read_context(self.context).applied(self.team) if self.context else self.team
        if self.given.files and self.start_at is None:
            raise InputsInvalid("files", "come with the phase to start at")
        if not self.given.context:
            return team
        return msgspec.structs.replace(team, inputs=self.given.inputs)

    def resolved_id(self) -> str:
        """Return the session id, derived if none was given.

        Raises:
            SessionNameInvalid: The given id is not a name.
            ContextInvalid: The context breaks a rule.
        """
        if self.session_id is None:
            digest = hashlib.sha256(encode(self.effective_team))
            if self.idempotency_key is not None:
                # Another order, even if all else is the same.
                digest.update(self.idempotency_key.encode())
            for path in (self.input_dir, self.output_dir):
                digest.update(b"\0" + (b"" if path is None else os.fsencode(path.absolute())))
            if self.start_at is not None:
                digest.update(b"\0" + self.start_at.encode() + b"\0" + self.given.name())
            return f"{self.team.name[:40]}-{digest.hexdigest()[:8]}"
        if not SESSION_ID.fullmatch(self.session_id):
            raise SessionNameInvalid(self.session_id, SESSION_ID.pattern)
        return self.session_id

    def input_digest(self) -> bytes:
        """Return a digest of all that the order says, but for its key and what it accepts."""
        paths = (self.input_dir, self.output_dir)
        said = (
            self.effective_team,
            self.session_id,
            [None if path is None else os.fsencode(path.absolute()) for path in paths],
            dict(self.labels),
            None if self.start_at is None else (self.start_at, self.given.name()),
        )
        return hashlib.sha256(_encode_sorted(said)).digest()


class Host(EventSource, Protocol):
    """Where a session is run: a runtime, or a client of one."""

    @property
    def store(self) -> Records:
        """What is on record."""

    def ended(self, session_id: str) -> LaneFuture[None]:
        """Return what is resolved once nothing runs in a session any more."""

    async def looked(self, look: Callable[[], T]) -> T:
        """Return what a function finds on record, without blocking the loop for long."""

    def cancel(
        self, session_id: str, *, deadline_seconds: float = CANCEL_SECONDS, reason: str = ""
    ) -> "Session":
        """End a session for good; see `Runtime.cancel`."""


class Session:
    """A session that is run, or has been, in this process or in another one."""

    def __init__(self, session_id: str, host: Host, ended: LaneFuture[None] | None = None) -> None:
        """Make a handle; `ended` None: the host is asked for it when it is needed."""
        self.session_id = session_id
        self._host = host
        self._known_end = ended
        self._pid = os.getpid()

    @property
    def _ended(self) -> LaneFuture[None]:
        if os.getpid() != self._pid:
            # The threads that would tell of the end are not here.
            raise SessionOfParent(self.session_id)
        if self._known_end is None:
            self._known_end = self._host.ended(self.session_id)
        return self._known_end

    @property
    def rests(self) -> bool:
        """Whether nothing can run in it any more, as far as is known here: its result is there."""
        return self._ended.is_done

    def cancel(self, *, deadline_seconds: float = CANCEL_SECONDS, reason: str = "") -> None:
        """End it for good; see `Runtime.cancel`. The result follows."""
        cancelled = self._host.cancel(
            self.session_id, deadline_seconds=deadline_seconds, reason=reason
        )
        # The end that is known may be that before a retry.
        self._known_end = cancelled._known_end  # noqa: SLF001 - of another handle

    def events(self, since: int = 1) -> EventStream:
        """Return its events from a sequence on, for `for` and `async for`; it ends when it rests.

        A client goes on after a reconnect where it was, without gap or repeat.
        """
        return EventStream(self._host, self.session_id, since)

    def result(self, timeout: float | None = None) -> SessionReport:
        """Block until nothing more can run in the session, and return its report.

        Raises:
            pykka.Timeout: It still runs after `timeout` seconds.
            RuntimeStopped: The runtime was closed before.
            SessionLeftAlone: It is a daemon's, which does not go on with its work.
            SessionOfParent: This process is a fork of the one that has this handle.
            StorageError: The store failed; what was acknowledged is safe.
        """
        self._ended.get(timeout=timeout)
        return self.report()

    def require(self, timeout: float | None = None) -> SessionReport:
        """Block as `result`, and return the report only if no task needs help.

        Raises:
            HelpNeeded: A task has failed for good, or waits for a person; the first one, with the
                reference of its ticket as far as it is known by now.
            pykka.Timeout, RuntimeStopped, SessionOfParent, StorageError: As `result`.
        """
        report = self.result(timeout)
        for task in report.tasks:
            if task.state in ("failed", "help_needed"):
                reference = "" if task.ticket is None else task.ticket.reference
                raise HelpNeeded(self.session_id, task.task_id, reference)
        return report

    def __await__(self) -> Generator[Any, None, SessionReport]:
        """Wait for the end without blocking the loop; otherwise as `result`."""
        yield from self._ended.__await__()
        return (yield from self._host.looked(self.report).__await__())

    def report(self) -> SessionReport:
        """Return where the session stands now, as far as it is durable."""
        return session_report(self._host.store, self.session_id)
