"""The verbs of a runtime: what a person may do to a session, whether it runs, waits or rests."""

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TypeVar

import pykka

from maestro_actors.errors import VerbRefused
from maestro_actors.kernel import LaneFuture
from maestro_actors.messages import OrderTaken
from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.sessions.coordinator_proxy import CoordinatorProxy
from maestro_actors.team import Team
from maestro_actors.verbs.rework import Rerun
from maestro_actors.verbs.wish import Asked, stands, wished
from maestro_runtime.at_rest.sessions import (
    remove_at_rest,
    rerun_at_rest,
    rerun_plan,
    retry_at_rest,
)
from maestro_runtime.receipts import answer_in, carried_out, receipt_of
from maestro_runtime.recorded import recorded_team
from maestro_runtime.redaction import Redactor, team_secrets
from maestro_runtime.running.lent_secrets import LentSecrets
from maestro_runtime.running.news import EventNews
from maestro_runtime.session import CANCEL_SECONDS, CANCEL_SECONDS_MAX, Session
from maestro_runtime.stream import Batch
from maestro_runtime.verbs._foundation import DURABLE_SECONDS, Foundation
from maestro_storage import Records
from maestro_storage.records import SESSION_FINAL, SessionRecord
from maestro_storage.transition import Transition

T = TypeVar("T")


class SessionVerbs:
    """Pause, cancel, retry, rerun and remove; and the handles of sessions, which ask here."""

    def __init__(self, base: Foundation, news: EventNews, redactor: Redactor) -> None:
        self._base = base
        self._news = news
        self._secrets = LentSecrets(redactor)

    @property
    def store(self) -> Records:
        """What is on record."""
        return self._base.store

    def pause(
        self, session_id: str, *, reason: str = "asked for", interrupt: bool = False
    ) -> Session:
        """Let a session begin nothing more until it is resumed by name. Not from a listener.

        That this is wished is durable on return; a crash after it pauses the session all the same.
        It is paused, and its result there, once nothing of it is in flight. Tasks that wait keep
        what they wait for, deadlines included. A session that turns out to be done or to have
        failed is not paused. One that is paused is left alone.

        Args:
            session_id: It runs, waits, or nobody runs it.
            reason: Shown with the session, in one line of at most 200 characters.
            interrupt: Attempts in flight are cut short instead of being waited for. What they used
                is booked; they count as interrupted, and each is followed by another one.

        Raises:
            NotFound: There is no such session.
            VerbRefused: It has ended, or is about to be cancelled.
            SessionQuarantined: A record of it is damaged.
            pykka.Timeout: The wish was not durable within 30 seconds; it still may become so.
        """
        return self._wish(session_id, Asked(wish="pause", reason=reason, interrupt=interrupt))

    def cancel(
        self, session_id: str, *, deadline_seconds: float = CANCEL_SECONDS, reason: str = ""
    ) -> Session:
        """End a session, and each of its tasks that has not ended, for good. Not from a listener.

        That this is wished is durable on return; a crash after it leaves it to the next `run`,
        `resume` or `cancel` of the session. Engines in flight are asked to stop, and what they used
        is booked. The session is cancelled, and its result there, when they have stopped; one whose
        tasks all turn out to be done is done. Tickets that were filed stay as they are.

        Args:
            session_id: It runs, waits, is paused, or nobody runs it.
            deadline_seconds: After them, from 0 to a day, engines are killed or waited for no
                longer: so long has a program between SIGTERM and SIGKILL. Asked again, the earlier
                deadline counts.
            reason: For the history.

        Raises:
            NotFound: There is no such session.
            VerbRefused: It is done or has failed; one that is cancelled is left alone.
            SessionQuarantined: A record of it is damaged.
            pykka.Timeout: The wish was not durable within 30 seconds; it still may become so.
        """
        deadline_ms = self._deadline_ms(deadline_seconds)
        asked = Asked(wish="cancel", reason=reason, deadline_ms=deadline_ms)
        return self._wish(session_id, asked)

    def retry(self, session_id: str, task_id: str, *, request_id: bytes = b"") -> None:
        """Try a failed task again, in another round; durable on return. Not from a listener.

        A session that runs takes it up at once, one that has failed when it is resumed. What was
        blocked by the failure can run again.

        Args:
            session_id: The session.
            task_id: The task.
            request_id: See `receipts.new_request_id`. Given again within a day, nothing is done.

        Raises:
            RequestIdInvalid: It is none, or that of another order.
            NotFound: There is no such session or task.
            VerbRefused: The task has not failed, or its session is cancelled.
            SessionQuarantined: A record of the session is damaged.
            pykka.Timeout: It was not durable within 30 seconds; it still may become so.
        """
        receipt = receipt_of(request_id, "retry")
        with self._base.starting:
            if carried_out(self._base.store, receipt):
                return
            self._base.store.require_session(session_id)
            if not self._taken(session_id, lambda session: session.retry(task_id, receipt)):
                now_ms = self._base.now_ms()
                retry_at_rest(self._base.store, session_id, task_id, now_ms, receipt=receipt)

    def rerun(
        self, session_id: str, phase: str, *, interrupt: bool = False, request_id: bytes = b""
    ) -> Rerun:
        """Run a phase and all after it again; see `maestro_runtime.at_rest.sessions.rerun_at_rest`.

        That a session which runs is to do so is durable on return; a crash after it leaves it to
        who takes the session up. Nothing more begins in it; once nothing is in flight, one
        transition queues what is to run again, and the session goes on, or pauses if it was to.
        One at rest goes on when it is resumed. Not from a listener.

        Args:
            session_id: It runs, waits, is paused or has ended.
            phase: The first phase to run again.
            interrupt: Attempts in flight are cut short instead of being waited for.
            request_id: As for `retry`.

        Returns:
            What that does, by what was on record when it was asked for; the same when it is asked
            for again by the same id.

        Raises:
            RequestIdInvalid: As `retry`.
            VerbRefused, NotFound, SessionQuarantined: As `rerun_plan`, beside `rerun_at_rest`.
            StorageError: It could not be written.
            pykka.Timeout: It was not durable within 30 seconds; it still may become so.
        """
        receipt = receipt_of(request_id, "rerun")
        with self._base.starting:
            if row := carried_out(self._base.store, receipt):
                return answer_in(row, Rerun)
            plan = rerun_plan(self._base.store, session_id, phase)
            if self._taken(
                session_id,
                lambda session: session.rerun(plan, interrupt=interrupt, receipt=receipt),
            ):
                return plan
            now_ms = self._base.now_ms()
            return rerun_at_rest(self._base.store, session_id, phase, now_ms, receipt=receipt)

    def remove(
        self,
        session_id: str,
        *,
        cancel: bool = False,
        deadline_seconds: float = CANCEL_SECONDS,
        request_id: bytes = b"",
    ) -> Session:
        """Delete all records of a session that has ended; durable on return.

        Files in its workspace are not touched. What it has used stays in the history of usage. Not
        from a listener.

        Args:
            session_id: The session.
            cancel: One that has not ended is cancelled, and deleted once it has ended. That this is
                to be is durable on return: a crash leaves it to who takes the session up, or to the
                next start. One with a ticket or an alert on its way is deleted at the first start
                after that was sent.
            deadline_seconds: As for `cancel`.
            request_id: See `receipts.new_request_id`. Given again within a day, nothing is asked
                anew; a session that a crash has left before its end is taken up.

        Returns:
            The session. To have its result waits until it is deleted, and raises `NotFound`; of one
            that a ticket or an alert keeps, it is the report of its end.

        Raises:
            RequestIdInvalid: As `retry`.
            NotFound: There is no such session.
            VerbRefused: It has not ended, and is not to be cancelled; or it has ended, and a ticket
                or an alert of it is not sent yet.
            SessionQuarantined: A record of it is damaged.
            StorageError: It could not be deleted.
        """
        receipt = receipt_of(request_id, "removal")
        if carried_out(self._base.store, receipt):
            return self._leaving(session_id)
        if cancel and self._base.store.require_session(session_id).state not in SESSION_FINAL:
            deadline_ms = self._deadline_ms(deadline_seconds)
            # Refused if it has come to its own end meanwhile.
            with suppress(VerbRefused):
                asked = Asked(wish="cancel", deadline_ms=deadline_ms, removal=True, receipt=receipt)
                session = self._wish(session_id, asked)
                left = self._base.store.sessions.get(session_id)
                if left is None or left.removal:
                    return session
        with self._base.starting:
            if self._base.running.is_under_way(session_id):
                record = self._base.store.require_session(session_id)
                if record.state not in SESSION_FINAL:
                    raise VerbRefused("remove", session_id, record.state, "it must have ended")
                # Its end is durable, and who asks has just heard of it.
                self._base.running.ended(session_id).get(timeout=DURABLE_SECONDS)
            remove_at_rest(self._base.store, session_id, receipt=receipt)
            return self.as_it_is(session_id)

    def start(self, session_id: str, team: Team, claimed: Collection[str] | None = None) -> Session:
        """Run a session that is on record, or queue it. Under the lock of all starts.

        `claimed` are the phases that somebody waits for; None: all, with the session.
        """
        secrets = team_secrets(team, os.environ)
        self._secrets.lend(secrets)
        try:
            ended = self._base.running.start(self._base.ports, session_id, team, claimed)
        except BaseException:
            self._secrets.take_back(secrets)
            raise
        # Once for each start, also of a session that runs: so it does not matter what ends first.
        ended.add_done_callback(lambda _: self._secrets.take_back(secrets))
        return Session(session_id, self, ended)

    def as_it_is(self, session_id: str, ended: LaneFuture[None] | None = None) -> Session:
        """Return the handle of a session that rests, or ends with what is given."""
        if ended is None:
            ended = LaneFuture()
            ended.set(None)
        return Session(session_id, self, ended)

    def goes_on(self, session_id: str, receipt: Receipt | None = None) -> bool:
        """Take back what keeps a session from running; False if it has ended. Under the lock."""
        asked = Asked(wish="run", receipt=receipt)
        record = self._base.store.require_session(session_id)
        if record.state in SESSION_FINAL:
            # Since its caller has looked.
            return False
        if stands(record, "run"):
            # Nothing is done: whether this is known may come after it.
            draft = Transition()
            put_receipt(draft, receipt, self._base.store.epoch)
            if draft.changes:
                self._base.store.journal.commit(draft).result(DURABLE_SECONDS)
            return True
        if not self._taken(session_id, lambda session: session.wish(asked)):
            record = self._base.store.require_session(session_id)
            if record.state in SESSION_FINAL:
                # The very attempt that the pause had waited for was its last one.
                return False
            self._write_wish(record, asked)
        return True

    def next_events(self, session_id: str, since: int) -> LaneFuture[Batch]:
        """Return the future of a session's next events from a sequence on, or that it rests.

        Raises, through the future:
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
            SessionLeftAlone: There are no more, and nobody goes on with it.
        """
        return self._news.batch(session_id, since)

    def leave(self, batch: pykka.Future[Batch]) -> None:
        """Wait no longer for events: nothing is kept for who does not."""

    def ended(self, session_id: str) -> LaneFuture[None]:
        """Return what is resolved once nothing runs in a session; it was started here."""
        return self._base.running.ended(session_id)

    async def looked(self, look: Callable[[], T]) -> T:
        """Return what a function finds on record: that takes no time here."""
        return look()

    def _leaving(self, session_id: str) -> Session:
        """Return the handle of a session that was asked to be removed; take it up if nobody has."""
        running, store = self._base.running, self._base.store
        with self._base.starting:
            # Before its record: one that ends in between is not taken for what a crash has left.
            is_under_way = running.is_under_way(session_id)
            record = store.sessions.get(session_id)
            if record is None or not record.removal:
                # It is gone, and another one may have its name.
                return self.as_it_is(session_id)
            if is_under_way or record.wish != "cancel":
                # It has ended, and perhaps something keeps it; or it was set aside.
                return self.as_it_is(session_id, running.ended(session_id))
            return self.start(session_id, recorded_team(store, record))

    def _deadline_ms(self, seconds: float) -> int:
        return self._base.now_ms() + round(min(max(0.0, seconds), CANCEL_SECONDS_MAX) * 1000)

    def _wish(self, session_id: str, asked: Asked) -> Session:
        with self._base.starting:
            record = self._base.store.require_session(session_id)
            if stands(record, asked.wish):
                # That may be durable and not told yet, and what follows it, such as its removal.
                return self.as_it_is(session_id, self._base.running.ended(session_id))
            if self._taken(session_id, lambda session: session.wish(asked)):
                ended = self._base.running.ended(session_id)
                return self.as_it_is(session_id, ended)
            # It may have come to its end just before, and that may be what is wished.
            record = self._base.store.require_session(session_id)
            if stands(record, asked.wish):
                return self.as_it_is(session_id)
            self._write_wish(record, asked)
            team = recorded_team(self._base.store, record)
            return self.start(session_id, team)

    def _write_wish(self, record: SessionRecord, asked: Asked) -> None:
        _, draft = wished(record, asked, self._base.now_ms(), self._base.store.epoch)
        self._base.store.journal.commit(draft).result(DURABLE_SECONDS)

    def _taken(
        self, session_id: str, order: Callable[[CoordinatorProxy], pykka.Future[OrderTaken]]
    ) -> bool:
        """Give an order to the coordinator; durable if taken. Else nobody runs the session now."""
        if self._base.running.ask(session_id, order) is None:
            return False
        # Behind what the coordinator has handed in before it answered.
        self._base.store.journal.settle(DURABLE_SECONDS)
        return True
