"""The counters of all budgets as they stand: those with a row, and those that are asked next."""

from collections.abc import Iterator
from typing import NamedTuple

from maestro_actors.ledger.budget import Budget, Caller, rolling_ms, span_of, subject_of
from maestro_actors.ledger.counter import Counter
from maestro_actors.ledger.ledger import Ledger
from maestro_actors.ledger.rows import counter_of, persona_budget
from maestro_actors.team import Contract, Team
from maestro_runtime.recorded import recorded_team
from maestro_storage import Records
from maestro_storage.bookings import CounterKey
from maestro_storage.records import SESSION_FINAL, SessionRecord


class Counted(NamedTuple):
    """A contract of a session, and a budget that counts its calls."""

    session: SessionRecord
    caller: Caller
    budget: Budget


class CounterBook(NamedTuple):
    """All counters, and whose calls they count."""

    recorded: dict[CounterKey, Counter]
    """Those that have a row, of windows that have ended too."""
    running: dict[CounterKey, Counter]
    """Those whose window has not ended: a session's ends with the session. One without a row has
    counted nothing yet; the team of a session has its budget."""
    counted: dict[CounterKey, list[Counted]]
    """Contracts by running counter; those of the session that was started last come last."""


def window_of(key: CounterKey) -> str:
    """Return the window of a counter's budget: "session", "day", "rolling:3600" ..."""
    return key.rule.partition("/")[0]


def metric_of(key: CounterKey) -> str:
    """Return the metric of a counter's budget: "total", "money" ..."""
    return key.rule.partition("/")[2]


def counter_book(store: Records, now_ms: int) -> CounterBook:
    """Read all counters, and the teams of all sessions that are kept."""
    recorded = _recorded(store)
    # As the accountant has it: if the clock steps back, no earlier window is opened.
    now_ms = max(now_ms, *(row.updated_ms for row in store.counters.scan("")), 0)
    running = {key: counter for key, counter in recorded.items() if _runs(store, key, now_ms)}
    counted: dict[CounterKey, list[Counted]] = {}
    ledger = Ledger(running.get, now_ms)
    for item in _counted(store):
        # The budget's own definition: a row knows only the limit it was last checked against.
        counter = ledger.counter(item.budget, item.caller, now_ms)
        running[counter.key] = counter
        counted.setdefault(counter.key, []).append(item)
    for counter in running.values():
        counter.forget(now_ms)
    return CounterBook(recorded, running, counted)


def running_counters(store: Records, now_ms: int) -> list[Counter]:
    """Read the counters with a row whose window has not ended."""
    return [counter for key, counter in _recorded(store).items() if _runs(store, key, now_ms)]


def resets_at_ms(counter: Counter) -> int | None:
    """Return when a counter's window ends, or a rolling one forgets its oldest step.

    None: it ends with its session, never, or holds nothing to forget.
    """
    window = window_of(counter.key)
    if length_ms := rolling_ms(window):
        oldest_ms = min(counter.steps, default=None)
        end_ms = None if oldest_ms is None else span_of(window, oldest_ms).end_ms
        return None if end_ms is None else end_ms + length_ms
    return span_of(window, counter.key.start_ms).end_ms


def _recorded(store: Records) -> dict[CounterKey, Counter]:
    counters: dict[CounterKey, Counter] = {}
    for row in store.budgets.scan():
        budget = persona_budget(row.persona_id, row.limit_tokens)
        key = CounterKey(row.session_id, budget.id, "session/total", row.persona_id, 0)
        counters[key] = counter_of(key, row)
    for record in store.counters.scan():
        counters[record.counter] = counter_of(record.counter, record)
    return counters


def _runs(store: Records, key: CounterKey, now_ms: int) -> bool:
    if key.session_id:
        session = store.sessions.get(key.session_id)
        # Books without a session, those of a `TokenTracker`, have no end.
        return session is None or session.state not in SESSION_FINAL
    if rolling_ms(window_of(key)):
        return True
    end_ms = span_of(window_of(key), key.start_ms).end_ms
    return end_ms is None or now_ms < end_ms


def _counted(store: Records) -> Iterator[Counted]:
    """Yield the contracts of sessions with each budget that counts them, the newest session last.

    Of a session that has ended, only with budgets that outlive it: its team may be started again.

    If two teams define the same budget, the one that was started last has the say.
    """
    for session in sorted(store.sessions.scan(), key=lambda session: session.created_ms):
        ended = session.state in SESSION_FINAL
        team = recorded_team(store, session)
        for contract in team.contracts:
            caller = _caller(session.session_id, team, contract)
            persona = team.personas[contract.provider_persona_id]
            own = persona_budget(persona.persona_id, persona.token_budget)
            for budget in (own, *team.budgets):
                over = ended and budget.window == "session"
                if not over and subject_of(budget, caller) is not None:
                    yield Counted(session, caller, budget)


def _caller(session_id: str, team: Team, contract: Contract) -> Caller:
    """Return who makes the calls of a contract, as budgets see it."""
    persona = team.personas[contract.provider_persona_id]
    return Caller(
        session_id,
        persona.persona_id,
        contract.phase,
        contract.id,
        persona.engine,
        persona.model,
        persona.tags,
    )
