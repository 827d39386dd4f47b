"""What can be stored: checked in the caller's thread, so that nothing spoils a batch."""

from typing import Final

import msgspec

from maestro_storage._environment import RECORD_DATABASES
from maestro_storage._seal import HEADER_BYTES
from maestro_storage.errors import KeyTooLong, NotFound, RecordTooLarge
from maestro_storage.records import KEY_BYTES_MAX, NAME_BYTES_MAX, EventRecord
from maestro_storage.transition import Transition

RECORD_BYTES_MAX: Final = 1 << 20
"""Largest stored record, its header included (1 MiB)."""

PAYLOAD_BYTES_MAX: Final = 16 << 20
"""Largest payload (16 MiB)."""

_ROW_BYTES: Final = HEADER_BYTES + 32
"""At least what header, sequence, epoch and array header add to an encoded change or event."""

_NAME_CHARACTERS_SURE: Final = NAME_BYTES_MAX // 4
"""As many take no more than `NAME_BYTES_MAX`, whatever they are."""

_encode = msgspec.msgpack.Encoder().encode
_databases: Final = frozenset(RECORD_DATABASES)


def checked_bytes(transition: Transition) -> int:
    """Return about how many bytes a transition writes, rather too many than too few.

    Raises:
        KeyTooLong, RecordTooLarge: Part of it can never be stored.
        NotFound: It names a database that holds no records.
    """
    changes, events = transition.changes, transition.events
    # All at once, which takes a fraction of looking at each: what is small in all is so in parts.
    size = len(_encode((changes, events))) + _ROW_BYTES * (len(changes) + len(events))
    keys = [change.key for change in changes]
    if (
        size > RECORD_BYTES_MAX
        or b"" in keys
        or len(max(keys, key=len, default=b"")) > KEY_BYTES_MAX
        or not _databases.issuperset([change.database for change in changes])
    ):
        _check_rows(transition)
    for session_id in {event.session_id for event in events}:
        if not session_id or len(session_id) > _NAME_CHARACTERS_SURE:
            _check_session(EventRecord.DATABASE, session_id)
    for delivery in transition.deliveries:
        size += len(delivery.message)
    if transition.payloads or transition.releases:
        size += _payload_bytes(transition)
    return size


def _check_rows(transition: Transition) -> None:
    """Refuse the first change or event that can never be stored."""
    for change in transition.changes:
        if change.database not in _databases:
            raise NotFound("database", change.database)
        if not 0 < len(change.key) <= KEY_BYTES_MAX:
            raise KeyTooLong(change.database, len(change.key), KEY_BYTES_MAX)
        _check_length(change.database, HEADER_BYTES + len(change.body or b""))
    for event in transition.events:
        _check_length(EventRecord.DATABASE, _ROW_BYTES + len(_encode(event)))


def _check_length(database: str, length: int) -> None:
    if length > RECORD_BYTES_MAX:
        raise RecordTooLarge(database, length, RECORD_BYTES_MAX)


def _payload_bytes(transition: Transition) -> int:
    size = 0
    for payload in transition.payloads:
        _check_session("references", payload.session_id)
        length = len(payload.content)
        if length > PAYLOAD_BYTES_MAX:
            raise RecordTooLarge("payloads", length, PAYLOAD_BYTES_MAX)
        size += length
    for release in transition.releases:
        _check_session("references", release.session_id)
    return size


def _check_session(kind: str, session_id: str) -> None:
    """Refuse a session name that cannot begin a key."""
    size = len(session_id.encode())
    if not 0 < size <= NAME_BYTES_MAX:
        raise KeyTooLong(kind, size, NAME_BYTES_MAX)
