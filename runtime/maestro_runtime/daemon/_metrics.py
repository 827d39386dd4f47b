"""The metrics of a runtime that works."""

import threading
from collections import Counter
from typing import Final

import msgspec

from maestro_actors.messages import encode
from maestro_runtime._version import __version__
from maestro_runtime.daemon._traffic import Traffic
from maestro_runtime.metrics.exposition import (
    Metric,
    Sample,
    by_label,
    counter,
    exposition,
    gauge,
    histogram,
)
from maestro_runtime.metrics.process import process_metrics
from maestro_runtime.metrics.recorded import recorded_metrics, store_metrics
from maestro_runtime.metrics.tally import LiveTally
from maestro_runtime.runtime import Runtime
from maestro_runtime.wire.errors import RequestInvalid
from maestro_runtime.wire.frames import UNDECODABLE
from maestro_runtime.wire.metrics import METRICS_ADDRESS, GetMetrics, MetricsText
from maestro_storage import Journal
from maestro_storage.records import EventRecord

_decode: Final = msgspec.msgpack.Decoder(GetMetrics).decode


class LiveMetrics:
    """Counts what the journal tells, and reads all else when it is asked."""

    def __init__(self, runtime: Runtime) -> None:
        self.traffic: Final = Traffic()
        self._runtime: Final = runtime
        self._events: Counter[str] = Counter()
        self._retries = 0
        self._tally = LiveTally(runtime.store)
        self._lock = threading.Lock()
        runtime.subscribe(self._note)

    def answer(self, message: bytes) -> bytes:
        """Return the encoded answer to an encoded request. Any thread; reads many records.

        Raises:
            RequestInvalid: It is none.
        """
        try:
            _decode(message)
        except UNDECODABLE as error:
            raise RequestInvalid(METRICS_ADDRESS, str(error)) from error
        with self._lock:
            return encode(MetricsText(text=exposition(self._metrics())))

    def _metrics(self) -> list[Metric]:
        """Return all metrics, as of now. One thread at a time."""
        store, hosting = self._runtime.store, self._runtime.hosting
        return [
            Metric(
                "maestro_build_info", "gauge", "Release.", (Sample(1, {"version": __version__}),)
            ),
            *recorded_metrics(store, self._tally.look()),
            *store_metrics(store.info(), store.reader_slots()),
            *_journal_metrics(store.journal),
            *self._work_metrics(),
            *self._traffic_metrics(),
            gauge("maestro_safe_mode", "1 if nothing runs.", int(hosting.held)),
            gauge(
                "maestro_sessions_left",
                "Sessions with work left that nobody goes on with until they are resumed.",
                hosting.left_count,
            ),
            *process_metrics(),
        ]

    def _note(self, event: EventRecord) -> None:
        """Count a durable event; on the thread that made it so."""
        self._events[event.kind] += 1
        if event.data.get("delay_ms") is not None:
            self._retries += 1

    def _work_metrics(self) -> list[Metric]:
        system = self._runtime.system
        actors: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        for actor in system.dump_actors():
            actors[actor.class_name] += 1
            waiting[actor.class_name] += actor.queue_length
        return [
            by_label(
                "maestro_events_total",
                "counter",
                "Events of the history since this start.",
                "kind",
                self._events.copy(),
            ),
            counter(
                "maestro_retries_total",
                "Attempts since this start after which another one was decided.",
                self._retries,
            ),
            by_label("maestro_actors", "gauge", "Actors by class.", "class", actors),
            by_label(
                "maestro_actor_queue_length",
                "gauge",
                "Messages that wait for actors, by class.",
                "class",
                waiting,
            ),
            gauge("maestro_lane_queue_length", "Actors that wait for a turn.", system.queue_length),
            counter(
                "maestro_dead_letters_total",
                "Messages that reached nobody.",
                system.dead_letters.count,
            ),
        ]

    def _traffic_metrics(self) -> list[Metric]:
        traffic = self.traffic
        return [
            gauge("maestro_connections", "Clients at the socket.", traffic.connections),
            # Without the suffix a counter must not be called like a gauge.
            counter(
                "maestro_connections_accepted_total",
                "Clients that have come.",
                traffic.connections_total,
            ),
            counter("maestro_socket_requests_total", "Requests of clients.", traffic.requests),
            by_label(
                "maestro_refusals_total",
                "counter",
                "Errors told to clients, by class.",
                "error",
                traffic.refusals.copy(),
            ),
        ]


def _journal_metrics(journal: Journal) -> list[Metric]:
    figures = journal.figures
    return [
        gauge(
            "maestro_journal_queue_length",
            "Transitions that are not in a batch yet.",
            journal.queue_length,
        ),
        histogram(
            "maestro_journal_commit_seconds",
            "Time that batches took to become durable.",
            figures.COMMIT_SECONDS,
            figures.commits_by_seconds,
            figures.seconds,
        ),
        histogram(
            "maestro_journal_batch_transitions",
            "Transitions in a batch.",
            figures.BATCH_TRANSITIONS,
            figures.commits_by_transitions,
            figures.transitions,
        ),
    ]
