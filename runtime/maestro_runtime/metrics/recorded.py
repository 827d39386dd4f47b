"""Figures that the records tell, whoever reads them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, get_args

from maestro_runtime.metrics.exposition import (
    OTHER,
    Metric,
    Number,
    Sample,
    by_label,
    capped,
    gauge,
    largest,
)
from maestro_runtime.metrics.tally import Tally
from maestro_storage import Records, StoreInfo
from maestro_storage.records import (
    BreakerState,
    SessionState,
    TaskState,
    UsageRecord,
)

_FIGURES: Final[tuple[tuple[str, str, float, str], ...]] = (
    ("maestro_requests_total", "requests", 1, "Requests that engines have made of providers."),
    ("maestro_lost_attempts_total", "lost_calls", 1, "Attempts of which nobody knows the usage."),
    ("maestro_unpriced_attempts_total", "unpriced_calls", 1, "Attempts without a known price."),
    ("maestro_cost_usd_total", "cost_nano_usd", 1e-9, "Cost of the attempts that have a price."),
    ("maestro_engine_seconds_total", "duration_ms", 1e-3, "Time that engines have worked."),
)
"""Name, figure of the usage, its unit, what it is."""

_CALLS: Final = UsageRecord.FIGURES.index("calls")
# Two metrics, because whoever adds up all series of one must not count a token twice.
_TOKENS: Final = ("input", "output")
_TOKEN_PARTS: Final = ("cache_read", "cache_write", "reasoning")

Labels = tuple[tuple[str, str], ...]


def recorded_metrics(store: Records, tally: Tally) -> list[Metric]:
    """Return what is on record in figures.

    Counters cover the whole history of usage, which outlives its sessions: they shrink only when a
    correction lowers what was booked, or what is too old is dropped. Quarantined sessions are left
    out.

    Args:
        store: The records; read are the tasks of sessions that have not ended, and the breakers.
        tally: All others, added up.
    """
    return [
        *_sessions(store, tally),
        *_usage(tally),
        *_breakers(store),
        *_postings(tally),
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


def _sessions(store: Records, tally: Tally) -> Iterator[Metric]:
    sessions = {state: tally.sessions[state] for state in get_args(SessionState)}
    tasks: Counter[str] = Counter(dict.fromkeys(get_args(TaskState), 0))
    # Those of what is over would cost a look at everything there ever was.
    for session_id in tally.unended:
        tasks.update(task.state for task in store.tasks.scan(session_id))
    yield by_label("maestro_sessions", "gauge", "Sessions by state.", "state", sessions)
    text = "Sessions that are paused because their coordinator has failed too often."
    yield gauge("maestro_sessions_set_aside", text, tally.set_aside)
    yield by_label(
        "maestro_tasks", "gauge", "Tasks of sessions that have not ended.", "state", tasks
    )


def _usage(tally: Tally) -> Iterator[Metric]:
    personas, engines = tally.personas, tally.engines
    attempts: dict[Labels, int] = defaultdict(int)
    sums: dict[str, dict[Labels, int]] = {name: defaultdict(int) for name in UsageRecord.FIGURES}
    for group, figures in sorted(tally.usage.items()):
        labels = (
            ("persona", group.persona if group.persona in personas else OTHER),
            ("engine", group.engine if group.engine in engines else OTHER),
        )
        for figure, value in zip(UsageRecord.FIGURES, figures, strict=True):
            sums[figure][labels] += value
        attempts[*labels, ("outcome", group.outcome or OTHER)] += figures[_CALLS]
    yield _counter("maestro_attempts_total", "Attempts that have ended.", attempts)
    text = "Tokens that engines have used."
    yield _counter("maestro_tokens_total", text, _by_kind(sums, "kind", _TOKENS))
    text = "Tokens of the cache, which are part of the input, and of reasoning, part of the output."
    yield _counter("maestro_token_parts_total", text, _by_kind(sums, "part", _TOKEN_PARTS))
    for name, figure, unit, text in _FIGURES:
        yield _counter(name, text, sums[figure], unit)


def _by_kind(
    sums: Mapping[str, Mapping[Labels, int]], label: str, kinds: Iterable[str]
) -> dict[Labels, int]:
    return {
        (*labels, (label, kind)): value
        for kind in kinds
        for labels, value in sums[f"{kind}_tokens"].items()
    }


def _counter(name: str, text: str, values: Mapping[Labels, int], unit: Number = 1) -> Metric:
    samples = (Sample(value * unit, dict(labels)) for labels, value in values.items())
    return Metric(name, "counter", text, tuple(samples))


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
    yield by_label("maestro_breaker_failures", "gauge", text, "breaker", capped(failures))


def _postings(tally: Tally) -> Iterator[Metric]:
    samples = (
        Sample(count, {"kind": kind, "state": state})
        for (kind, state), count in sorted(tally.postings.items())
        if count
    )
    text = "Tickets and alerts on record by where they are."
    yield Metric("maestro_postings", "gauge", text, tuple(samples))
    shares = {
        f"{permille / 1000:g}": count for permille, count in sorted(tally.alerts.items()) if count
    }
    text = "Shares of a limit that budgets have reached, as far as alerts are kept."
    yield by_label("maestro_budget_alerts", "gauge", text, "share", capped(shares))
