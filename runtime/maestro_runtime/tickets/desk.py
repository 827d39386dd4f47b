"""Where the help desk hands its postings to the sink, and what becomes of them is a message."""

import queue
import threading
from typing import Final

from maestro_actors.kernel import ActorSystem
from maestro_actors.messages import Message, TicketNotSent, TicketSent
from maestro_actors.proxy import encoded
from maestro_actors.ticket import Posting
from maestro_runtime.tickets.errors import TicketNotDelivered
from maestro_runtime.tickets.protocol import TicketSink

CLOSE_SECONDS: Final = 1.0
"""How long `close` waits for a posting under way."""

REASON_CHARS_MAX: Final = 500


class TicketDesk:
    """The `Tickets` port over a sink, on one thread of its own that starts with the first posting.

    The thread does not keep the process alive: a posting that is cut short stays "sending" in the
    outbox, and the next start looks for it before it sends it again.
    """

    def __init__(self, system: ActorSystem, sink: TicketSink) -> None:
        self._system = system
        self._sink = sink
        self._jobs: queue.SimpleQueue[tuple[Posting, str] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def post(self, posting: Posting, reply_to: str) -> None:
        """Queue a posting; any thread, but one at a time."""
        self._jobs.put((posting, reply_to))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tickets", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Take no more; wait a moment for the posting under way, so that its end is recorded."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        """Deliver one posting after the other: the body of the thread."""
        while (job := self._jobs.get()) is not None:
            posting, reply_to = job
            self._system.deliver(reply_to, encoded(self._deliver(posting)))

    def _deliver(self, posting: Posting) -> Message:
        session_id, posting_id = posting.ticket.session_id, posting.posting_id
        try:
            reference = self._clean(self._sink.post(posting))
        except TicketNotDelivered as error:
            # A doubt from before outlasts a try of which nothing can have arrived.
            reason, doubtful = error.reason, error.doubtful or posting.doubtful
        except Exception as error:  # noqa: BLE001 - foreign code; the answer must follow
            reason, doubtful = f"{type(error).__name__}: {error}", True
        else:
            return TicketSent(session_id=session_id, posting_id=posting_id, reference=reference)
        return TicketNotSent(
            session_id=session_id,
            posting_id=posting_id,
            reason=f"{self._sink.name}: {self._clean(reason)}",
            doubtful=doubtful,
        )

    def _clean(self, text: str) -> str:
        """Return a text of the sink without its secrets, in one line of bounded length."""
        for secret in self._sink.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:REASON_CHARS_MAX]
