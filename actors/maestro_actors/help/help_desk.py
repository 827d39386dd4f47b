"""The help desk: gets tickets and alerts out of the process, and people's answers in.

A posting leaves the outbox in three durable steps: pending, sending, done. "Sending" is durable
before the sink sees the posting, so one that may have arrived without our knowing is never taken
for one that has not. Trouble with a sink is noted and tried again; it changes nothing else.
"""

from typing import ClassVar, Final, Protocol, assert_never

import msgspec
import pykka

from maestro_actors.accounting.accountant_proxy import AccountantProxy
from maestro_actors.deadline import in_reach
from maestro_actors.errors import HelpNotAwaited
from maestro_actors.help.alert import ALERT, AlertPosting, BudgetAlert, decode_alert
from maestro_actors.help.answer import Answer, answered, questions_of
from maestro_actors.help.posting import Posting, Ticket, decode_ticket, fingerprint_in
from maestro_actors.identity import HELP_DESK_ADDRESS, coordinator_address
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    AnswerHelp,
    AnswerRecorded,
    AnswerTaken,
    Flushed,
    HelpAnswered,
    HelpDeskMessage,
    PostingDue,
    PostingNotSent,
    PostingSent,
    PostingWritten,
    RaiseBudget,
    SendingRecorded,
    SendingSettled,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import Channel, Proxy, encoded
from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.team import decode_team
from maestro_storage.records import OutboxRecord
from maestro_storage.transition import Event, Transition

BACKOFF_SECONDS: Final = 5.0
"""Pause after the first failed try to send a posting; doubles with each further one."""
BACKOFF_MAX_SECONDS: Final = 3600.0
"""Longest pause between two tries."""

_SENDING_SETTLED: Final = encoded(SendingSettled())
_POSTING_DUE: Final = encoded(PostingDue())

_Data = dict[str, str | int | float | bool | None]
_Key = tuple[str, str]
"""Session and posting id."""

_SENT: Final = {"ticket": "ticket_filed", "alert": "alert_sent"}
_DELAYED: Final = {"ticket": "ticket_delayed", "alert": "alert_delayed"}
"""Kinds of events, by the kind of the outbox row."""


class Tickets(Protocol):
    """Who has the sink. Nothing here blocks; answers come back as messages."""

    def post(self, posting: Posting | AlertPosting, reply_to: str) -> None:
        """Send a posting; `PostingSent` or `PostingNotSent` always follows."""


class HelpDesk(MessageActor):
    """Sends the tickets and alerts of all sessions, one by one; one for the whole runtime."""

    INBOX: ClassVar = msgspec.msgpack.Decoder(HelpDeskMessage)

    def __init__(self, ports: Ports, tickets: Tickets) -> None:
        super().__init__()
        self._ports = ports
        self._tickets = tickets
        self._rows: dict[_Key, OutboxRecord] = {}
        """What is not done, oldest first."""
        self._busy = False
        """A posting is on its way; the next one waits until its end is durable."""
        self._answering: set[_Key] = set()
        """Session and task of the answers that are not durable yet."""

    def on_start(self) -> None:
        """Take up what an earlier start, or an instance that failed, has not sent."""
        if self.restarts:
            # What that instance recorded may not be durable yet: look when it is.
            self._busy = True
            barrier = Transition()
            barrier.then(HELP_DESK_ADDRESS, encoded(Flushed(restarts=self.restarts)))
            self._ports.journal.append(barrier)
        else:
            self._load()
            self._advance()

    def handle(self, message: HelpDeskMessage) -> AnswerTaken | None:
        """Dispatch one message; only `AnswerHelp` is answered."""
        match message:
            case PostingWritten():
                self._take(message.session_id, message.posting_id)
            case SendingRecorded():
                self._send(message)
            case PostingSent():
                self._sent(message)
            case PostingNotSent():
                self._not_sent(message)
            case SendingSettled():
                self._busy = False
            case Flushed():
                self._flushed(message)
            case PostingDue():
                pass
            case AnswerHelp():
                return self._answer(message)
            case AnswerRecorded():
                self._answering.discard((message.session_id, message.task_id))
            case _:
                assert_never(message)
        self._advance()
        return None

    def _flushed(self, flushed: Flushed) -> None:
        """Begin with what the instances before this one have left, once all of it is durable."""
        if flushed.restarts == self.restarts:
            self._load()
            self._busy = False

    def _load(self) -> None:
        rows = self._ports.memory.unsent()
        self._rows = {(row.session_id, row.outbox_id): row for row in rows}
        draft, now_ms = Transition(), self._ports.now_ms()
        for row in rows:
            if row.deadline_ms is not None:
                deadline_ms = in_reach(row.deadline_ms, now_ms, _pause_ms(row))
                if deadline_ms != row.deadline_ms:
                    self._put(draft, row, deadline_ms=deadline_ms)
        if draft.changes:
            self._ports.journal.append(draft)

    def _take(self, session_id: str, posting_id: str) -> None:
        for row in self._ports.memory.outbox(session_id):
            if row.outbox_id == posting_id and row.state != "done":
                self._rows[session_id, posting_id] = row

    def _advance(self) -> None:
        """Begin with the oldest posting that is due; else wake up when one is."""
        if self._busy or not self._rows:
            return
        now_ms = self._ports.now_ms()
        # A posting waits for the one it repeats: only then is there a ticket to add it to.
        first: dict[str, OutboxRecord] = {}
        for row in self._rows.values():
            first.setdefault(fingerprint_in(row.outbox_id), row)
        due = [row for row in first.values() if (row.deadline_ms or 0) <= now_ms]
        if due:
            self._begin(due[0])
        else:
            deadline_ms = min(row.deadline_ms or 0 for row in first.values())
            self._ports.system.timers.at(
                HELP_DESK_ADDRESS, deadline_ms, HELP_DESK_ADDRESS, _POSTING_DUE
            )

    def _begin(self, row: OutboxRecord) -> None:
        """Make it durable that the posting is being sent."""
        self._busy = True
        draft = Transition()
        self._put(draft, row, state="sending", attempts=row.attempts + 1, deadline_ms=None)
        recorded = SendingRecorded(
            session_id=row.session_id,
            posting_id=row.outbox_id,
            doubtful=row.state == "sending",
        )
        draft.then(HELP_DESK_ADDRESS, encoded(recorded))
        self._ports.journal.append(draft)

    def _send(self, recorded: SendingRecorded) -> None:
        key = (recorded.session_id, recorded.posting_id)
        if key not in self._rows:
            # Recorded by an instance that failed: this one comes to it once it has looked.
            return
        self._tickets.post(self._posting(key, doubtful=recorded.doubtful), HELP_DESK_ADDRESS)

    def _posting(self, key: _Key, *, doubtful: bool) -> Posting | AlertPosting:
        told = self._told(key)
        session_id, posting_id = key
        if isinstance(told, BudgetAlert):
            return AlertPosting(posting_id=posting_id, alert=told, doubtful=doubtful)
        fingerprint = fingerprint_in(posting_id)
        references = [
            row.reference
            for row in self._ports.memory.outbox(session_id)
            if row.state == "done" and fingerprint_in(row.outbox_id) == fingerprint
        ]
        return Posting(
            posting_id=posting_id,
            fingerprint=fingerprint,
            ticket=told,
            reference=references[-1] if references else "",
            doubtful=doubtful,
        )

    def _sent(self, sent: PostingSent) -> None:
        key = (sent.session_id, sent.posting_id)
        if key not in self._rows:
            # Sent twice by two lives of this actor: the first answer has settled it.
            return
        draft = Transition()
        self._put(draft, self._rows[key], state="done", reference=sent.reference)
        draft.event(self._event(_SENT, key, {"reference": sent.reference}))
        del self._rows[key]
        self._settle(draft)

    def _not_sent(self, failure: PostingNotSent) -> None:
        key = (failure.session_id, failure.posting_id)
        if key not in self._rows:
            return
        row = self._rows[key]
        deadline_ms = self._ports.now_ms() + _pause_ms(row)
        draft = Transition()
        state = "sending" if failure.doubtful else "pending"
        self._put(draft, row, state=state, deadline_ms=deadline_ms)
        data: _Data = {"reason": failure.reason, "tries": row.attempts, "deadline_ms": deadline_ms}
        draft.event(self._event(_DELAYED, key, data))
        self._settle(draft)

    def _put(self, draft: Transition, row: OutboxRecord, **changes: str | int | None) -> None:
        after = msgspec.structs.replace(row, epoch=self._ports.epoch, **changes)
        self._rows[row.session_id, row.outbox_id] = after
        draft.put(after)

    def _settle(self, draft: Transition) -> None:
        draft.then(HELP_DESK_ADDRESS, _SENDING_SETTLED)
        self._ports.journal.append(draft)

    def _event(self, kinds: dict[str, str], key: _Key, data: _Data) -> Event:
        told = self._told(key)
        if isinstance(told, BudgetAlert):
            data = {"budget_id": told.budget_id, "permille": told.permille, **data}
        kind = kinds[self._rows[key].kind]
        return Event(key[0], kind, self._ports.now_ms(), told.task_id, data)

    def _told(self, key: _Key) -> Ticket | BudgetAlert:
        """Return what a posting tells."""
        row = self._rows[key]
        content = self._ports.memory.payload(row.payload)
        return decode_alert(content) if row.kind == ALERT else decode_ticket(content)

    def _answer(self, order: AnswerHelp) -> AnswerTaken:
        """Pass an answer on to the journal, by way of the accountant if it raises a budget."""
        memory = self._ports.memory
        key = (order.session_id, order.task_id)
        task = memory.task(*key)
        if key in self._answering:
            raise HelpNotAwaited(*key, "being answered")
        session = memory.session(order.session_id)
        address = coordinator_address(order.session_id)
        if self._ports.system.ref(address) is not None:
            # While the session has a coordinator, nobody else writes its record.
            session = msgspec.structs.replace(session, state="running")
        team = decode_team(memory.payload(session.team))
        questions = questions_of(team, task, memory.payload)
        draft = answered(
            session, task, order.answer, self._ports.now_ms(), self._ports.epoch, questions
        )
        put_receipt(draft, order.receipt, self._ports.epoch)
        draft.then(HELP_DESK_ADDRESS, encoded(AnswerRecorded(session_id=key[0], task_id=key[1])))
        # To nobody, if the session has stopped; whoever resumes it reads the record.
        draft.then(address, encoded(HelpAnswered(task_id=order.task_id)))
        self._answering.add(key)
        if order.answer.add_tokens:
            AccountantProxy(self._ports.channel).raise_budget(
                RaiseBudget(
                    task=task,
                    limit_tokens=team.personas[task.persona_id].token_budget,
                    answer=order.answer,
                    draft=draft,
                )
            )
        else:
            self._ports.journal.append(draft)
        return AnswerTaken(session_id=order.session_id, task_id=order.task_id)


def _pause_ms(row: OutboxRecord) -> int:
    """Return how long a posting waits after its last try, which has failed."""
    pause_seconds = BACKOFF_SECONDS * 2.0 ** min(row.attempts - 1, 32)
    return round(min(pause_seconds, BACKOFF_MAX_SECONDS) * 1000)


class HelpDeskProxy(Proxy):
    """Typed access to the help desk."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel, HELP_DESK_ADDRESS)

    def answer(
        self, session_id: str, task_id: str, answer: Answer, receipt: Receipt | None = None
    ) -> pykka.Future[AnswerTaken]:
        """Answer a task that needs help; the future raises if that cannot be.

        It is resolved before the answer is durable: the history says "task_answered" when it is.

        Raises, through the future:
            AnswerInvalid: The answer breaks a rule.
            HelpNotAwaited: The task does not wait for a person.
            NotFound: There is no such task.
        """
        return self._ask(
            AnswerHelp(session_id=session_id, task_id=task_id, answer=answer, receipt=receipt),
            AnswerTaken,
        )
