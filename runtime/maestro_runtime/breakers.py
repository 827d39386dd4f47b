"""Circuit breakers: what is known of them, and opening and closing them while nothing runs."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from maestro_actors.breaker import Breaker
from maestro_actors.team import BreakerPolicy, Team
from maestro_runtime.recorded import recorded_team
from maestro_storage import Records, Store
from maestro_storage.errors import NotFound
from maestro_storage.records import SESSION_FINAL, BreakerState, SessionRecord
from maestro_storage.transition import Transition


class BreakerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The circuit breaker of one engine, or of one endpoint of it."""

    name: str
    state: BreakerState
    failures: int
    """Consecutive failures of the engine."""
    opened_in_a_row: int
    """Times it has opened without a success in between."""
    next_probe_ms: int | None
    """When an open breaker lets its probe through, on the wall clock; None if it is closed."""
    changed_by: str
    """Who opened or closed it by hand; empty once a call has changed it."""
    opened_total: int
    failed_total: int
    """Calls that failed by the engine's fault."""
    refused_total: int
    """Calls refused before the breaker's last change."""
    calls: int
    """Calls that have ended, in the sessions that are kept."""
    outcomes: dict[str, int]
    """Those calls by their end: "ok", or the class of the failure."""
    policy: dict[str, Any]
    """Of the session started last that uses it, or the built-in one."""


def breaker_reports(store: Records) -> list[BreakerReport]:
    """Read all breakers that have ever moved, or that a session which is kept uses, by name."""
    uses = _Uses(store)
    recorded = {record.engine for record in store.breakers.scan()}
    return [_report(store, uses, name) for name in sorted(recorded | uses.sessions.keys())]


def breaker_report(store: Records, name: str) -> BreakerReport:
    """Read one breaker.

    Raises:
        NotFound: It has never moved, and no session which is kept uses it.
    """
    uses = _Uses(store)
    _require(store, uses, name)
    return _report(store, uses, name)


def open_at_rest(store: Store, name: str, by: str) -> BreakerReport:
    """Open a breaker for one reset delay; durable on return.

    The history of each session that uses it and has not ended says so.

    Args:
        store: No runtime is open on it.
        name: See `Persona.breaker`.
        by: Who asks for it.

    Raises:
        NotFound: It has never moved, and no session which is kept uses it.
        StorageError: The change could not be written.
    """
    return _change(store, name, lambda breaker, now_ms: breaker.trip(now_ms, by))


def reset_at_rest(store: Store, name: str, by: str) -> BreakerReport:
    """Close a breaker and forget its failures; its totals stay. Otherwise as `open_at_rest`."""
    return _change(store, name, lambda breaker, _: breaker.reset(by))


class _Uses:
    """Who uses which breaker, as the sessions that are kept know it."""

    def __init__(self, store: Records) -> None:
        teams: dict[bytes, Team] = {}
        self.sessions: dict[str, list[SessionRecord]] = {}
        """By breaker, those started last at the end."""
        self.policies: dict[str, BreakerPolicy] = {}
        self.breakers: dict[tuple[str, str], str] = {}
        """By session and persona."""
        for session in sorted(store.sessions.scan(), key=lambda record: record.created_ms):
            if session.team not in teams:
                teams[session.team] = recorded_team(store, session)
            team = teams[session.team]
            for persona in team.personas.values():
                self.breakers[session.session_id, persona.persona_id] = persona.breaker
            for name in {persona.breaker for persona in team.personas.values()}:
                self.sessions.setdefault(name, []).append(session)
                self.policies[name] = team.breaker_policy(name, BreakerPolicy())


def _require(store: Records, uses: _Uses, name: str) -> None:
    if name not in uses.sessions and store.breakers.get(name) is None:
        raise NotFound("breaker", name)


def _breaker(store: Records, uses: _Uses, name: str) -> Breaker:
    breaker = Breaker(name, uses.policies.get(name, BreakerPolicy()))
    record = store.breakers.get(name)
    if record is not None:
        breaker.restore(record)
    return breaker


def _report(store: Records, uses: _Uses, name: str) -> BreakerReport:
    breaker = _breaker(store, uses, name)
    outcomes: Counter[str] = Counter()
    for row in store.usage.scan(""):
        if uses.breakers.get((row.session_id, row.persona_id)) == name:
            outcomes[row.outcome] += row.calls
    return BreakerReport(
        name=name,
        state=breaker.state,
        failures=breaker.failures,
        opened_in_a_row=breaker.opened_count,
        next_probe_ms=None if breaker.state == "closed" else breaker.retry_at_ms,
        changed_by=breaker.changed_by,
        opened_total=breaker.opened_total,
        failed_total=breaker.failed_total,
        refused_total=breaker.refused_total,
        calls=outcomes.total(),
        outcomes=dict(sorted(outcomes.items())),
        policy=msgspec.structs.asdict(uses.policies.get(name, BreakerPolicy())),
    )


def _change(store: Store, name: str, move: Callable[[Breaker, int], None]) -> BreakerReport:
    uses = _Uses(store)
    _require(store, uses, name)
    breaker = _breaker(store, uses, name)
    now_ms = time.time_ns() // 1_000_000
    move(breaker, now_ms)
    draft = Transition()
    draft.put(breaker.record(store.epoch))
    for session in uses.sessions.get(name, ()):
        if session.state not in SESSION_FINAL:
            draft.event(breaker.event(session.session_id, now_ms))
    store.journal.commit(draft).result()
    return _report(store, uses, name)
