"""Figures that the records tell, whoever reads them."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final, get_args

from maestro_runtime.metrics.exposition import (
    OTHER,
    Kind,
    Metric,
    Number,
    Sample,
    by_label,
    gauge,
    largest,
)
from maestro_runtime.statements.usage import UsageQuery, UsageRow, usage
from maestro_storage import Records, StoreInfo
from maestro_storage.records import (
    SESSION_FINAL,
    BreakerState,
    SessionState,
    TaskState,
)

_FIGURES: Final[tuple[tuple[str, str, float, str], ...]] = (
    ("maestro_requests_total", "requests", 1, "Requests that engines have made of providers."),
    ("maestro_lost_attempts_total", "lost_calls", 1, "Attempts of which nobody knows the usage."),
    ("maestro_unpriced_attempts_total", "unpriced_calls", 1, "Attempts without a known price."),
    ("maestro_cost_usd_total", "cost_nano_usd", 1e-9, "Cost of the attempts that have a price."),
    ("maestro_engine_seconds_total", "duration_ms", 1e-3, "Time that engines have worked."),
)
"""Name, field of a row of usage, its unit, what it is."""

_TOKENS: Final = ("input", "output", "cache_read", "cache_write", "reasoning")


def recorded_metrics(store: Records) -> list[Metric]:
    """Return what is on record in figures.

    Counters cover the whole history of usage, which outlives its sessions: they shrink only when a
    correction lowers what was booked, or what is too old is dropped. Quarantined sessions are left
    out.
    """
    return [
        *_sessions(store),
        *_usage(store),
        *_breakers(store),
        *_postings(store),
        gauge("maestro_owner_epoch", "Number of this start of the state.", store.epoch),
        gauge(
            "maestro_quarantined_sessions",
            "Sessions with damaged records.",
            len(store.quarantined),
        ),
    ]


def store_metrics(info: StoreInfo, readers: tuple[int, int]) -> list[Metric]:
    """Return the figures of a store: its sizes, and its reader slots, taken and in all."""
    return [
        gauge("maestro_store_used_bytes", "Size of the stored records.", info.used_bytes),
        gauge("maestro_store_file_bytes", "Size of the data file in use.", info.file_bytes),
        gauge("maestro_store_map_bytes", "Size that the data file can have.", info.map_bytes),
        gauge("maestro_store_degraded", "1 if the disk is full.", int(bool(info.degraded))),
        gauge("maestro_store_reader_slots", "Reader slots that are taken.", readers[0]),
        gauge("maestro_store_reader_slots_max", "Reader slots that there are.", readers[1]),
        by_label("maestro_store_records", "gauge", "Records by database.", "database", info.counts),
    ]


def _sessions(store: Records) -> Iterator[Metric]:
    sessions: Counter[str] = Counter(dict.fromkeys(get_args(SessionState), 0))
    tasks: Counter[str] = Counter(dict.fromkeys(get_args(TaskState), 0))
    for session in store.sessions.scan():
        sessions[session.state] += 1
        # Those of what is over would cost a look at everything there ever was.
        if session.state not in SESSION_FINAL:
            tasks.update(task.state for task in store.tasks.scan(session.session_id))
    yield by_label("maestro_sessions", "gauge", "Sessions by state.", "state", sessions)
    yield by_label(
        "maestro_tasks", "gauge", "Tasks of sessions that have not ended.", "state", tasks
    )


def _usage(store: Records) -> Iterator[Metric]:
    rows = usage(store, UsageQuery(by=("persona", "engine", "outcome")))
    personas, engines = _largest(rows, "persona"), _largest(rows, "engine")

    def labelled(row: UsageRow) -> tuple[tuple[str, str], ...]:
        persona, engine = row.group["persona"], row.group["engine"]
        return (
            ("persona", persona if persona in personas else OTHER),
            ("engine", engine if engine in engines else OTHER),
        )

    attempts: dict[tuple[tuple[str, str], ...], Number] = defaultdict(int)
    tokens: dict[tuple[tuple[str, str], ...], Number] = defaultdict(int)
    figures: dict[str, dict[tuple[tuple[str, str], ...], Number]] = {}
    for row in rows:
        labels = labelled(row)
        attempts[*labels, ("outcome", row.group["outcome"] or OTHER)] += row.calls
        for kind in _TOKENS:
            tokens[*labels, ("kind", kind)] += getattr(row, f"{kind}_tokens")
        for name, field, unit, _ in _FIGURES:
            found = figures.setdefault(name, defaultdict(int))
            found[labels] += (getattr(row, field) or 0) * unit
    yield _summed("maestro_attempts_total", "counter", "Attempts that have ended.", attempts)
    text = "Tokens; input has those of the cache in it, output those of reasoning."
    yield _summed("maestro_tokens_total", "counter", text, tokens)
    for name, _, _, text in _FIGURES:
        yield _summed(name, "counter", text, figures.get(name, {}))


def _largest(rows: list[UsageRow], label: str) -> frozenset[str]:
    calls: Counter[str] = Counter()
    for row in rows:
        calls[row.group[label]] += row.calls
    return largest(calls)


def _summed(
    name: str, kind: Kind, text: str, values: dict[tuple[tuple[str, str], ...], Number]
) -> Metric:
    return Metric(
        name, kind, text, tuple(Sample(value, dict(labels)) for labels, value in values.items())
    )


def _breakers(store: Records) -> Iterator[Metric]:
    records = sorted(store.breakers.scan(), key=lambda record: record.engine)
    failures = {record.engine: record.failures for record in records}
    shown = largest(failures)
    states = (
        Sample(int(record.state == state), {"breaker": record.engine, "state": state})
        for record in records
        if record.engine in shown
        for state in get_args(BreakerState)
    )
    text = "1 for the state that a circuit breaker is in."
    yield Metric("maestro_breaker_state", "gauge", text, tuple(states))
    text = "Failures in a row that a circuit breaker has counted."
    yield by_label("maestro_breaker_failures", "gauge", text, "breaker", failures)


def _postings(store: Records) -> Iterator[Metric]:
    found = Counter((row.kind, row.state) for row in store.outbox.scan())
    samples = (
        Sample(count, {"kind": kind, "state": state})
        for (kind, state), count in sorted(found.items())
    )
    text = "Tickets and alerts on record by where they are."
    yield Metric("maestro_postings", "gauge", text, tuple(samples))
    shares = Counter(f"{alert.permille / 1000:g}" for alert in store.alerts.scan())
    text = "Shares of a limit that budgets have reached, as far as alerts are kept."
    yield by_label("maestro_budget_alerts", "gauge", text, "share", dict(sorted(shares.items())))
