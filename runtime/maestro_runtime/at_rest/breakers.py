"""Opening and closing circuit breakers in a state directory that no runtime is open on."""

import time
from collections.abc import Callable

from maestro_actors.breaker import Breaker
from maestro_runtime.reports.breakers import BreakerReport, Breakers
from maestro_storage import Store
from maestro_storage.records import SESSION_FINAL
from maestro_storage.transition import Transition


def open_at_rest(store: Store, name: str, by: str) -> BreakerReport:
    """Open a breaker for one reset delay; durable on return.

    The history of each session that uses it and has not ended says so.

    Args:
        store: No runtime is open on it, or no actor is there for the breaker.
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


def _change(store: Store, name: str, move: Callable[[Breaker, int], None]) -> BreakerReport:
    breakers = Breakers(store)
    breaker = breakers.breaker(name)
    now_ms = time.time_ns() // 1_000_000
    move(breaker, now_ms)
    draft = Transition()
    draft.put(breaker.record(store.epoch))
    for session in breakers.sessions.get(name, ()):
        if session.state not in SESSION_FINAL:
            draft.event(breaker.event(session.session_id, now_ms))
    store.journal.commit(draft).result()
    return breakers.report(name)
