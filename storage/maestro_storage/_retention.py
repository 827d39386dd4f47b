"""Retention: which finished sessions are dropped, and what one of them has.

A session that is not final, or that still has something to send, is never dropped.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from maestro_storage._environment import Transaction, keys_under
from maestro_storage._payloads import Databases, digests_of
from maestro_storage._seal import SESSIONLESS
from maestro_storage.records import (
    RECORD_TYPES,
    SESSION_FINAL,
    SessionRecord,
    key_of,
)

DAY_MS: Final = 24 * 60 * 60 * 1000
_SESSION_DATABASES: Final = tuple(
    kind.DATABASE for kind in RECORD_TYPES if kind.DATABASE not in SESSIONLESS
)


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long finished sessions are kept, and what outlives them.

    Of the limits on sessions, whichever is reached first drops the oldest.
    """

    age_days: float = 30
    """Since the session finished."""
    sessions_max: int = 1000
    """Finished sessions."""
    bytes_max: int = 4 << 30
    """Stored by finished sessions together; a shared payload counts for each of them."""
    hour_cells_days: float = 7
    """How long usage is kept by the hour; then by the day."""
    day_cells_days: float = 400
    """How long usage is kept at all."""
    windows_days: float = 30
    """How long counters and alerts are kept after the end of their window, at least. Those of a
    rolling window, and of one that does not end, are kept for ever."""


def expired(
    finished: Iterable[SessionRecord],
    sizes_bytes: Mapping[str, int],
    policy: RetentionPolicy,
    now_ms: int,
) -> list[str]:
    """Return the sessions to drop: those that are to be removed, then the others, oldest first.

    Args:
        finished: Sessions that may be dropped; those that are not final are left out.
        sizes_bytes: What each of them stores; one that is missing counts 0.
        policy: What may be kept.
        now_ms: The wall clock.
    """
    ended = [record for record in finished if record.state in SESSION_FINAL]
    dropped = [record.session_id for record in ended if record.removal]
    final = sorted(
        (record for record in ended if not record.removal),
        key=lambda record: (_end_ms(record), record.session_id),
    )
    count = len(final)
    total_bytes = sum(sizes_bytes.get(record.session_id, 0) for record in final)
    for record in final:
        aged = now_ms - _end_ms(record) > policy.age_days * DAY_MS
        if not aged and count <= policy.sessions_max and total_bytes <= policy.bytes_max:
            break
        dropped.append(record.session_id)
        count -= 1
        total_bytes -= sizes_bytes.get(record.session_id, 0)
    return dropped


def size_bytes(txn: Transaction, databases: Databases, session_id: str) -> int:
    """Return what a session stores: keys, values and every payload it refers to."""
    own = sum(
        len(key) + len(txn.get(key, b"", db=databases[name]))
        for name, key in rows_of(txn, databases, session_id)
    )
    digests = digests_of(txn, databases, session_id)
    return own + sum(len(txn.get(digest, b"", db=databases["payloads"])) for digest in digests)


def rows_of(txn: Transaction, databases: Databases, session_id: str) -> Iterator[tuple[str, bytes]]:
    """Yield every record of a session: database and key."""
    for name in _SESSION_DATABASES:
        for key in keys_under(txn, databases[name], key_of(session_id)):
            yield name, key


def _end_ms(record: SessionRecord) -> int:
    """Return when a final session ended."""
    return record.updated_ms if record.finished_ms is None else record.finished_ms
