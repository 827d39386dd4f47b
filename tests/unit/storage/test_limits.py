import pytest

from maestro_storage import PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX
from maestro_storage._limits import checked_bytes
from maestro_storage._seal import HEADER_BYTES
from maestro_storage.errors import KeyTooLong, NotFound, RecordTooLarge
from maestro_storage.records import KEY_BYTES_MAX, NAME_BYTES_MAX
from maestro_storage.transition import Change, Event, Payload, Transition


def change(body_bytes: int = 1, key_bytes: int = 1, database: str = "tasks") -> Transition:
    return Transition(changes=[Change(database, b"k" * key_bytes, 1, bytes(body_bytes))])


def test_a_transition_at_its_limits_is_taken() -> None:
    body_bytes = RECORD_BYTES_MAX - HEADER_BYTES
    payload = Payload("s" * NAME_BYTES_MAX, bytes(PAYLOAD_BYTES_MAX))
    full = change(body_bytes, KEY_BYTES_MAX)
    full.payload(payload.session_id, payload.content)
    full.then("a", b"12345")

    written_bytes = RECORD_BYTES_MAX + PAYLOAD_BYTES_MAX + 5
    assert written_bytes <= checked_bytes(full) < written_bytes + KEY_BYTES_MAX + 100


def test_many_records_may_be_larger_together_than_one_may_be() -> None:
    changes = change(RECORD_BYTES_MAX // 2).changes * 3
    events = [Event("s", "kind", 0, data={"text": "x" * (RECORD_BYTES_MAX // 2)})] * 3

    assert checked_bytes(Transition(changes=changes, events=events)) >= 3 * RECORD_BYTES_MAX


@pytest.mark.parametrize("key_bytes", [0, KEY_BYTES_MAX + 1])
def test_a_key_that_lmdb_cannot_hold_is_refused(key_bytes: int) -> None:
    with pytest.raises(KeyTooLong):
        checked_bytes(change(key_bytes=key_bytes))


def test_a_record_above_the_limit_is_refused() -> None:
    with pytest.raises(RecordTooLarge):
        checked_bytes(change(RECORD_BYTES_MAX - HEADER_BYTES + 1))


def test_a_payload_above_the_limit_is_refused() -> None:
    with pytest.raises(RecordTooLarge):
        checked_bytes(Transition(payloads=(Payload("s", bytes(PAYLOAD_BYTES_MAX + 1)),)))


def test_an_event_above_the_limit_is_refused() -> None:
    event = Event("s", "kind", 0, data={"text": "x" * RECORD_BYTES_MAX})

    with pytest.raises(RecordTooLarge):
        checked_bytes(Transition(events=[event]))


@pytest.mark.parametrize("name", ["", "s" * (NAME_BYTES_MAX + 1), "é" * (NAME_BYTES_MAX // 2 + 1)])
def test_a_session_name_that_cannot_begin_a_key_is_refused(name: str) -> None:
    with pytest.raises(KeyTooLong):
        checked_bytes(Transition(events=[Event(name, "kind", 0)]))
    with pytest.raises(KeyTooLong):
        checked_bytes(Transition(payloads=(Payload(name, b""),)))


@pytest.mark.parametrize("database", ["meta", "payloads", "references", "unheard_of"])
def test_only_databases_of_records_can_be_changed(database: str) -> None:
    with pytest.raises(NotFound):
        checked_bytes(change(database=database))
