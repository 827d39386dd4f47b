"""Orders to a runtime from another process: what a person may do to a session while it runs."""

from typing import Final

import msgspec

from maestro_actors.answer import Answer
from maestro_actors.messages import Request

SUPERVISOR_ADDRESS: Final = "urn:maestro:supervisor"
"""Where a process carries out orders about its sessions."""

CANCEL_SECONDS: Final = 5.0
"""How long engines in flight may take to stop when a session is cancelled."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The order has been carried out as far as the verb of `Runtime` says; durable."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint was written; durable."""

    number: int


class PauseSession(Request[Done], frozen=True, kw_only=True):
    """See `Runtime.pause`."""

    session_id: str
    reason: str
    interrupt: bool = False


class CancelSession(Request[Done], frozen=True, kw_only=True):
    """See `Runtime.cancel`."""

    session_id: str
    reason: str
    deadline_seconds: float = CANCEL_SECONDS


class RetryFailed(Request[Done], frozen=True, kw_only=True):
    """See `Runtime.retry`."""

    session_id: str
    task_id: str


class AnswerTask(Request[Done], frozen=True, kw_only=True):
    """See `Runtime.answer`."""

    session_id: str
    task_id: str
    answer: Answer


class NameCheckpoint(Request[Taken], frozen=True, kw_only=True):
    """See `Runtime.checkpoint`."""

    session_id: str
    name: str


Order = PauseSession | CancelSession | RetryFailed | AnswerTask | NameCheckpoint
