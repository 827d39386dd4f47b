"""Where the help desk hands its postings to the sinks, and what becomes of them is a message."""

import queue
import threading
from pathlib import Path
from typing import Final

from maestro_actors.help.alert import AlertPosting
from maestro_actors.help.posting import Posting
from maestro_actors.kernel import ActorSystem
from maestro_actors.messages import Message, PostingNotSent, PostingSent
from maestro_actors.proxy import encoded
from maestro_runtime.redaction import Redactor
from maestro_runtime.tickets.alerts import FILE_NAME, AlertFile
from maestro_runtime.tickets.errors import TicketNotDelivered
from maestro_runtime.tickets.file import DIRECTORY, FileSink
from maestro_runtime.tickets.protocol import AlertSink, TicketSink

CLOSE_SECONDS: Final = 1.0
"""How long `close` waits for a posting under way."""

REASON_CHARS_MAX: Final = 500


class TicketDesk:
    """The `Tickets` port over the sinks, on a thread of its own that starts with the first posting.

    The thread does not keep the process alive: a posting that is cut short stays "sending" in the
    outbox, and the next start looks for it before it sends it again.
    """

    def __init__(
        self, system: ActorSystem, sink: TicketSink, alerts: AlertSink, redactor: Redactor
    ) -> None:
        """Post to `sink` and `alerts`; `redactor` learns their secrets, for this and for others."""
        redactor.learn((*sink.secrets, *alerts.secrets))
        self._redactor = redactor
        self._system = system
        self._sink = sink
        self._alerts = alerts
        self._jobs: queue.SimpleQueue[tuple[Posting | AlertPosting, str] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    def post(self, posting: Posting | AlertPosting, reply_to: str) -> None:
        """Queue a posting; any thread, but one at a time."""
        self._jobs.put((posting, reply_to))
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="tickets", daemon=True)
            thread.start()
            # Only now: where no thread can be started, there is none to wait for at the end.
            self._thread = thread

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

    def _deliver(self, posting: Posting | AlertPosting) -> Message:
        session_id, posting_id = posting.session_id, posting.posting_id
        sink = self._sink if isinstance(posting, Posting) else self._alerts
        try:
            found = (
                self._sink.post(posting)
                if isinstance(posting, Posting)
                else self._alerts.post_alert(posting)
            )
            reference = self._clean(found)
        except TicketNotDelivered as error:
            # A doubt from before outlasts a try of which nothing can have arrived.
            reason, doubtful = error.reason, error.doubtful or posting.doubtful
        except Exception as error:  # noqa: BLE001 - foreign code; the answer must follow
            reason, doubtful = f"{type(error).__name__}: {error}", True
        else:
            return PostingSent(session_id=session_id, posting_id=posting_id, reference=reference)
        return PostingNotSent(
            session_id=session_id,
            posting_id=posting_id,
            reason=f"{sink.name}: {self._clean(reason)}",
            doubtful=doubtful,
        )

    def _clean(self, text: str) -> str:
        """Return a text of a sink without secrets, in one line of bounded length."""
        return " ".join(self._redactor.clean(text).split())[:REASON_CHARS_MAX]


def ticket_desk(
    system: ActorSystem, state_dir: Path, sink: TicketSink | None, redactor: Redactor
) -> TicketDesk:
    """Return the desk of a runtime; what the sink, or the lack of one, leaves open goes to files.

    Args:
        system: Where the help desk lives.
        state_dir: Where the files are.
        sink: Takes tickets, and alerts if it is an `AlertSink`. None: files take both.
        redactor: Learns the secrets of the sinks.
    """
    tickets = sink or FileSink(state_dir / DIRECTORY)
    alerts = tickets if isinstance(tickets, AlertSink) else AlertFile(state_dir / FILE_NAME)
    return TicketDesk(system, tickets, alerts, redactor)
