import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_storage._seal import HEADER_BYTES, seal, session_of, unseal
from maestro_storage.errors import RecordDamaged, RecordTooNew

KEYS = st.binary(min_size=1, max_size=80)
BODIES = st.binary(max_size=300)


@given(KEYS, st.integers(0, 65535), BODIES)
def test_unseal_returns_what_was_sealed(key: bytes, version: int, body: bytes) -> None:
    assert unseal("tasks", key, seal("tasks", key, version, body), version) == (version, body)


@given(KEYS, BODIES, st.data())
def test_any_flipped_bit_is_found(key: bytes, body: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seal("tasks", key, 1, body))
    bit = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[bit // 8] ^= 1 << bit % 8

    with pytest.raises(RecordDamaged):
        unseal("tasks", key, bytes(damaged), 65535)


@given(KEYS, KEYS, BODIES)
def test_a_value_under_a_key_it_was_not_written_for_is_found(
    key: bytes, other: bytes, body: bytes
) -> None:
    if key == other:
        return

    with pytest.raises(RecordDamaged):
        unseal("tasks", other, seal("tasks", key, 1, body), 1)


def test_a_value_in_a_database_it_was_not_written_for_is_found() -> None:
    with pytest.raises(RecordDamaged):
        unseal("attempts", b"s-1\0", seal("tasks", b"s-1\0", 1, b"body"), 1)


@pytest.mark.parametrize("kept_bytes", [0, 1, 31, 32, 33, HEADER_BYTES])
def test_a_value_cut_short_is_found_and_names_its_session(kept_bytes: int) -> None:
    sealed = seal("tasks", b"s-1\0task\0", 1, b"body")

    with pytest.raises(RecordDamaged, match=r"of session 's-1' is damaged"):
        unseal("tasks", b"s-1\0task\0", sealed[:kept_bytes], 1)


def test_a_newer_version_is_refused_rather_than_guessed() -> None:
    with pytest.raises(RecordTooNew) as caught:
        unseal("tasks", b"k", seal("tasks", b"k", 3, b""), 2)

    assert (caught.value.found, caught.value.known) == (3, 2)


@pytest.mark.parametrize(
    ("database", "key", "session_id"),
    [
        ("tasks", b"s-1\0task\0", "s-1"),
        ("tasks", b"no separator", ""),
        ("breakers", b"engine\0", ""),
        ("payloads", b"d\0" * 16, ""),
    ],
)
def test_the_session_of_a_record_is_read_from_its_key(
    database: str, key: bytes, session_id: str
) -> None:
    assert session_of(database, key) == session_id
