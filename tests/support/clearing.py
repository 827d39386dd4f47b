"""One life of a runtime that removes all sessions of a state, and one that it has begun: `main`."""

import random
import threading
from pathlib import Path
from typing import Final

from maestro_actors.errors import VerbRefused
from maestro_runtime import Runtime, SessionOrder
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.testing import When
from maestro_storage.errors import NotFound
from maestro_storage.records import SESSION_FINAL
from mortal import Places, opened, telling
from observer import Teller, Told

BOUND_SECONDS: Final = 20.0
TRIES_MAX: Final = 3
"""Of a removal: one is refused until the session has ended, and until its tickets have left."""
ASKED: Final = "to be removed"
GONE: Final = "removed"
EVENTS_MAX: Final = 3
"""Any session has as many."""


def main(places: Places, when: When, number: int, begun: str, seed: int) -> None:
    """Begin a session, remove it and all others in some order; die at a commit, or be through."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    happened = threading.Semaphore(0)
    with telling(places) as teller, opened(places, when, number) as runtime:
        runtime.subscribe(teller.event)
        runtime.subscribe(lambda _: happened.release())
        loaded = load_team(places.team, settings=resolve_settings(Flags(), {}))
        runtime.run(SessionOrder(loaded.team, begun, Path(places.output).with_name(begun)))
        names = [record.session_id for record in runtime.store.sessions.scan()]
        chance.shuffle(names)
        for _ in range(chance.randint(0, EVENTS_MAX)):
            if not happened.acquire(timeout=BOUND_SECONDS):
                raise TimeoutError(f"nothing happens in session {begun}")
        for name in names:
            _clear(runtime, teller, name)


def _clear(runtime: Runtime, teller: Teller, name: str) -> None:
    """Have a session removed, and tell what is said to be so."""
    for _ in range(TRIES_MAX):
        try:
            record = runtime.store.require_session(name)
            if record.removal and record.state not in SESSION_FINAL:
                # The life before was asked for it: nobody need ask again.
                session = runtime.resume(name)
            else:
                session = runtime.remove(name, cancel=True, deadline_seconds=BOUND_SECONDS)
                teller.tell(Told(session_id=name, state=ASKED))
            session.result(BOUND_SECONDS)
            runtime.settle_tickets(name, BOUND_SECONDS)
        except VerbRefused:
            runtime.settle_tickets(name, BOUND_SECONDS)
        except NotFound:
            teller.tell(Told(session_id=name, state=GONE))
            return
    raise TimeoutError(f"session {name} is not removed")
