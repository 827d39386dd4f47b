"""Messages of the help desk."""

import msgspec

from maestro_actors.help.answer import Answer
from maestro_actors.messages._message import Message
from maestro_actors.messages._persona import Flushed
from maestro_actors.receipt import Receipt


class PostingWritten(Message, frozen=True, kw_only=True):
    """The ticket of a final failure is durable in the outbox, and pending."""

    session_id: str
    posting_id: str


class SendingRecorded(Message, frozen=True, kw_only=True):
    """It is durable that a posting is about to be sent: now the sink may have it."""

    session_id: str
    posting_id: str
    doubtful: bool
    """An earlier try may have arrived."""


class PostingSent(Message, frozen=True, kw_only=True):
    """The sink has taken a posting."""

    session_id: str
    posting_id: str
    reference: str
    """What a person finds the ticket by: a key, a path, the id of a message."""


class PostingNotSent(Message, frozen=True, kw_only=True):
    """The sink could not deliver a posting."""

    session_id: str
    posting_id: str
    reason: str
    doubtful: bool
    """It may have arrived all the same."""


class SendingSettled(Message, frozen=True, kw_only=True):
    """What became of the posting is durable."""


class PostingDue(Message, frozen=True, kw_only=True):
    """A posting has waited long enough to be tried again."""


class AnswerHelp(Message, frozen=True, kw_only=True):
    """Apply a person's answer to a task that needs help; answered by `AnswerTaken`.

    The answer is durable once the history has its "task_answered".
    """

    session_id: str
    task_id: str
    answer: Answer
    receipt: Receipt | None = None


class AnswerRecorded(Message, frozen=True, kw_only=True):
    """An answer that the desk has passed on is durable."""

    session_id: str
    task_id: str


HelpDeskMessage = (
    PostingWritten
    | SendingRecorded
    | PostingSent
    | PostingNotSent
    | SendingSettled
    | PostingDue
    | AnswerHelp
    | AnswerRecorded
    | Flushed
)


class AnswerTaken(msgspec.Struct, frozen=True, kw_only=True):
    """An answer is valid and on its way to the journal."""

    session_id: str
    task_id: str
