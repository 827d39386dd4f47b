"""Circuit breakers: what is known of them."""

from collections import Counter
from typing import Any

import msgspec

from maestro_actors.breaker import Breaker
from maestro_actors.team import BreakerPolicy, Team
from maestro_runtime.recorded import recorded_team
from maestro_storage import Records
from maestro_storage.errors import NotFound
from maestro_storage.records import BreakerState, SessionRecord


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
    """Calls refused; while a probe is out, those before it."""
    calls: int
    """Calls that have ended, in the sessions that are kept."""
    outcomes: dict[str, int]
    """Those calls by their end: "ok", or the class of the failure."""
    policy: dict[str, Any]
    """Of the session started last that uses it, or the built-in one."""


class Breakers:
    """All breakers that have ever moved, or that a session which is kept uses."""

    def __init__(self, store: Records) -> None:
        """Read what is on record of who uses which breaker."""
        self._store = store
        self.sessions: dict[str, list[SessionRecord]] = {}
        """Who uses a breaker, those started last at the end."""
        self._policies: dict[str, BreakerPolicy] = {}
        self._by_persona: dict[tuple[str, str], str] = {}
        teams: dict[bytes, Team] = {}
        for session in sorted(store.sessions.scan(), key=lambda record: record.created_ms):
            if session.team not in teams:
                teams[session.team] = recorded_team(store, session)
            team = teams[session.team]
            for persona in team.personas.values():
                self._by_persona[session.session_id, persona.persona_id] = persona.breaker
            for name in {persona.breaker for persona in team.personas.values()}:
                self.sessions.setdefault(name, []).append(session)
                self._policies[name] = team.breaker_policy(name, BreakerPolicy())

    def names(self) -> list[str]:
        """Return the names of all, sorted."""
        recorded = {record.engine for record in self._store.breakers.scan()}
        return sorted(recorded | self.sessions.keys())

    def breaker(self, name: str) -> Breaker:
        """Return a breaker as it stands.

        Raises:
            NotFound: It has never moved, and no session which is kept uses it.
        """
        record = self._store.breakers.get(name)
        if record is None and name not in self.sessions:
            raise NotFound("breaker", name)
        breaker = Breaker(name, self._policy(name))
        if record is not None:
            breaker.restore(record)
        return breaker

    def report(self, name: str) -> BreakerReport:
        """Return what is known of a breaker; raises as `breaker`."""
        breaker = self.breaker(name)
        outcomes: Counter[str] = Counter()
        for row in self._store.usage.scan(""):
            if self._by_persona.get((row.session_id, row.persona_id)) == name:
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
            policy=msgspec.structs.asdict(self._policy(name)),
        )

    def _policy(self, name: str) -> BreakerPolicy:
        return self._policies.get(name, BreakerPolicy())


def breaker_reports(store: Records) -> list[BreakerReport]:
    """Read all breakers that have ever moved, or that a session which is kept uses, by name."""
    breakers = Breakers(store)
    return [breakers.report(name) for name in breakers.names()]


def breaker_report(store: Records, name: str) -> BreakerReport:
    """Read one breaker.

    Raises:
        NotFound: It has never moved, and no session which is kept uses it.
    """
    return Breakers(store).report(name)
