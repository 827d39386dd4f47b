"""Orders to a runtime from another process: everything that a person or a program may change.

Each is carried out by a verb of `Runtime`, answered once that is durable, and raises what the verb
does. An order is resent when its answer got lost. One with a `request_id` is done once all the
same: the id becomes durable with what it does, and whoever sends it again gets the first answer.
Those without one do no harm twice; their docstrings say why.
"""

from typing import Any, Final, TypeVar

import msgspec

from maestro_actors.help.answer import Answer
from maestro_actors.messages import CheckpointTaken, CorrectCall, Request, ToppedUp
from maestro_actors.team import Team
from maestro_actors.verbs.rework import Rerun
from maestro_runtime.checkpoints import Imported, Pruned
from maestro_runtime.receipts import new_request_id
from maestro_runtime.reports.breakers import BreakerReport
from maestro_runtime.session import CANCEL_SECONDS
from maestro_runtime.top_up import TopUpOrder
from maestro_storage.plan import Plan

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)

SUPERVISOR_ADDRESS: Final = "urn:maestro:supervisor"
"""Where a process carries out orders about its sessions."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The order has been carried out as far as the verb of `Runtime` says; durable."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The order about a session has been carried out as far as the verb says; durable."""

    session_id: str
    rests: bool
    """Nothing runs in the session, so that its end need not be waited for."""


class StartSession(Request[Accepted], frozen=True, kw_only=True):
    """See `Runtime.run`. The same again finds the session that it has started."""

    team: Team
    """With every context in it."""
    base_dir: str
    """Absolute, like all directories here: where a workspace that has no name is made."""
    session_id: str | None = None
    output_dir: str | None = None
    input_dir: str | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    idempotency_key: str | None = None
    accept_changes: bool = False
    start_at: str | None = None
    given_dir: str | None = None
    given_files: dict[str, bytes] = msgspec.field(default_factory=dict)
    """Contents by relative path, if there is no `given_dir`."""
    plan: Plan = ()
    run: bool = True
    """False: see `Runtime.create`."""
    priority: int = 0
    attach: bool = False
    """See `Runtime.attach`."""


class ResumeSession(Request[Accepted], frozen=True, kw_only=True):
    """See `Runtime.resume`."""

    session_id: str
    plan: Plan | None = None
    team: Team | None = None
    accept_changes: bool = False
    request_id: bytes = b""


class ForkSession(Request[Accepted], frozen=True, kw_only=True):
    """See `Runtime.fork`."""

    session_id: str
    base_dir: str
    """Absolute, like the workspace: where one that has no name is made."""
    checkpoint: str | None = None
    new_id: str | None = None
    output_dir: str | None = None
    requirement: str | None = None
    request_id: bytes = b""


class PauseSession(Request[Accepted], frozen=True, kw_only=True):
    """See `Runtime.pause`. One that is paused is left alone."""

    session_id: str
    reason: str
    interrupt: bool = False


class CancelSession(Request[Accepted], frozen=True, kw_only=True):
    """See `Runtime.cancel`. One that is cancelled is left alone."""

    session_id: str
    reason: str
    deadline_seconds: float = CANCEL_SECONDS


class RetryFailed(Request[Done], frozen=True, kw_only=True):
    """See `Runtime.retry`."""

    session_id: str
    task_id: str
    request_id: bytes = b""


class RerunPhase(Request[Rerun], frozen=True, kw_only=True):
    """See `Runtime.rerun`."""

    session_id: str
    phase: str
    interrupt: bool = False
    request_id: bytes = b""


class RemoveSession(Request[Accepted], frozen=True, kw_only=True):
    """See `Runtime.remove`."""

    session_id: str
    cancel: bool = False
    deadline_seconds: float = CANCEL_SECONDS
    request_id: bytes = b""


class AnswerTask(Request[Done], frozen=True, kw_only=True):
    """See `Runtime.answer`."""

    session_id: str
    task_id: str
    answer: Answer
    request_id: bytes = b""


class NameCheckpoint(Request[CheckpointTaken], frozen=True, kw_only=True):
    """See `Runtime.checkpoint`."""

    session_id: str
    name: str
    request_id: bytes = b""


class BeginPhases(Request[Accepted], frozen=True, kw_only=True):
    """See `Runtime.run_phases`. A phase that is done stays as it is.

    Its id is known only to the process that has answered: in the next one nobody waits for a phase,
    and whoever asks takes over what has begun.
    """

    session_id: str
    phases: tuple[str, ...]
    request_id: bytes = b""


class TopUpBudget(Request[ToppedUp], frozen=True, kw_only=True):
    """See `Runtime.top_up`."""

    order: TopUpOrder
    request_id: bytes = b""


class CorrectBooking(Request[Done], frozen=True, kw_only=True):
    """See `Runtime.correct`. A correction has an id of its own."""

    order: CorrectCall


class OpenBreaker(Request[BreakerReport], frozen=True, kw_only=True):
    """See `Runtime.open_breaker`. The same again makes its delay begin anew."""

    name: str
    by: str = ""


class CloseBreaker(Request[BreakerReport], frozen=True, kw_only=True):
    """See `Runtime.close_breaker`. One that is closed stays so."""

    name: str
    by: str = ""


class PruneCheckpoints(Request[Pruned], frozen=True, kw_only=True):
    """See `Runtime.prune`. What is dropped is gone."""

    session_id: str


class ImportBundle(Request[Imported], frozen=True, kw_only=True):
    """See `Runtime.import_bundle`."""

    path: str
    """Absolute, like all directories here."""
    base_dir: str
    output_dir: str | None = None
    input_dir: str | None = None
    request_id: bytes = b""


class KeepValues(Request[Done], frozen=True, kw_only=True):
    """See `Runtime.keep_values`. The same again writes the same."""

    values: dict[str, bytes | None]


class LeaveSafeMode(Request[Done], frozen=True, kw_only=True):
    """See `Runtime.leave_safe_mode`. Where there is none, nothing is done."""


Order = (
    StartSession
    | ResumeSession
    | ForkSession
    | PauseSession
    | CancelSession
    | RetryFailed
    | RerunPhase
    | RemoveSession
    | AnswerTask
    | NameCheckpoint
    | BeginPhases
    | TopUpBudget
    | CorrectBooking
    | OpenBreaker
    | CloseBreaker
    | PruneCheckpoints
    | ImportBundle
    | KeepValues
    | LeaveSafeMode
)


def request_id_of(order: "Request[Any]") -> bytes:
    """Return the id by which an order is done only once; empty if it needs none."""
    return getattr(order, "request_id", b"")


def identified(order: Request[ReplyT]) -> Request[ReplyT]:
    """Return an order with an id, if it is of a kind that needs one and has none yet."""
    if getattr(order, "request_id", None) != b"":
        return order
    return msgspec.structs.replace(order, request_id=new_request_id())
