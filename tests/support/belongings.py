"""What each session of a state has in it: whole, or gone whole, and nothing is nobody's."""

import itertools
from collections.abc import Mapping
from typing import Final

from maestro_storage import StateView
from maestro_storage._payloads import by_digest, by_session
from maestro_storage._seal import SESSIONLESS, session_of
from maestro_storage.records import RECORD_TYPES
from maestro_storage.rows import Row

ROWS_MAX: Final = 1 << 30
"""All there are."""
OF_SESSIONS: Final = {kind.DATABASE for kind in RECORD_TYPES} - SESSIONLESS

Belongings = Mapping[tuple[str, bytes], bytes]
"""The stored values of a session by database and key; those of its payloads by digest."""


def belongings(store: StateView) -> dict[str, Belongings]:
    """Return what belongs to each session; AssertionError if something belongs to none."""
    sessions = {record.session_id for record in store.sessions.scan()}
    had: dict[str, dict[tuple[str, bytes], bytes]] = {name: {} for name in sessions}
    for database in OF_SESSIONS:
        for key, value in _all(store, database):
            # Usage, and the budgets of a runtime, are of no session.
            if name := session_of(database, key):
                assert name in sessions, f"{database} has a row of {name!r}, which is gone"
                had[name][database, key] = value
    payloads = dict(_all(store, "payloads"))
    references = {key for key, _ in _all(store, "references")}
    pairs = itertools.product(sessions, payloads)
    kept = [pair for pair in pairs if by_session(*pair) in references]
    assert references == {
        key for name, digest in kept for key in (by_session(name, digest), by_digest(digest, name))
    }, "references do not come in pairs, or are of a session or a payload that is gone"
    assert {digest for _, digest in kept} == set(payloads), "a payload belongs to nobody"
    for name, digest in kept:
        had[name]["payloads", digest] = payloads[digest]
    return dict(had)


def _all(store: StateView, database: str) -> list[Row]:
    return store.rows.page(database, b"", b"", ROWS_MAX)
