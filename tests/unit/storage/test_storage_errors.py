import pickle

import pytest

from maestro_storage import errors
from maestro_storage.errors import StorageError

TEXTS: list[tuple[StorageError, str]] = [
    (
        errors.StateNotWritable("/s", "Read-only file system"),
        (
            "state directory '/s' is not writable: Read-only file system; "
            "choose another with MAESTRO_STATE_DIR or --state-dir"
        ),
    ),
    (
        errors.StateOwned("/s", 7, "host-a", "2025-01-01T00:00:00+00:00"),
        "state directory '/s' is owned by pid 7 on host-a, started 2025-01-01T00:00:00+00:00",
    ),
    (
        errors.StateOwned("/s", 7, "host-a", "2025", is_silent=True),
        "state directory '/s' is owned by pid 7 on host-a, started 2025, which does not listen",
    ),
    (
        errors.StateOwned("/s", 0, "", ""),
        "state directory '/s' is owned by a process that has not named itself yet",
    ),
    (
        errors.StateTooNew("/s", 3, 1),
        "state directory '/s' has schema 3, this version knows up to 1",
    ),
    (
        errors.RecordTooNew("tasks", "00ff", 2, 1),
        "record 00ff in tasks has version 2, this version knows up to 1",
    ),
    (errors.StateDamaged("/s", "page 3"), "state directory '/s' is damaged: page 3"),
    (
        errors.RecordDamaged("s-1", "tasks", "00ff", "its digest does not match"),
        "record 00ff in tasks of session 's-1' is damaged: its digest does not match",
    ),
    (
        errors.RecordDamaged("", "breakers", "00ff", "its digest does not match"),
        "record 00ff in breakers is damaged: its digest does not match",
    ),
    (errors.SessionQuarantined("s-1", ("a", "b")), "session 's-1' is quarantined: a; b"),
    (
        errors.NetworkFileSystem("/s", "nfs4"),
        "state directory '/s' is on a network file system: got 'nfs4'",
    ),
    (errors.StoreFull("/s", "map"), "no room left in state directory '/s': map"),
    (errors.StoreFailed("/s", "input/output error"), "storage in '/s' failed: input/output error"),
    (
        errors.StoreClosed("/s", "it has been closed"),
        "store '/s' is closed: it has been closed",
    ),
    (errors.OwnerFenced(1, 2), "owner epoch 1 is fenced: the state is at epoch 2"),
    (errors.KeyTooLong("tasks", 600, 511), "key in tasks must be 1 to 511 bytes: got 600"),
    (errors.RecordTooLarge("tasks", 9, 8), "record in tasks must be at most 8 bytes: got 9"),
    (
        errors.QuotaExceeded("/s", 10, 9),
        "state directory '/s' uses 10 bytes of a quota of 9",
    ),
    (
        errors.BackupTargetNotEmpty("/b"),
        "backup target '/b' is not an empty directory",
    ),
    (errors.NotFound("session", "s-9"), "no such session: 's-9'"),
]


@pytest.mark.parametrize(("error", "text"), TEXTS, ids=lambda value: type(value).__name__)
def test_an_error_says_what_is_wrong(error: StorageError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize("error", [error for error, _ in TEXTS], ids=lambda e: type(e).__name__)
def test_an_error_survives_pickling(error: StorageError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(copy) is type(error)
    assert vars(copy) == vars(error)


def test_every_error_has_its_text_tested() -> None:
    defined = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, StorageError)
    }

    assert defined == {StorageError, *(type(error) for error, _ in TEXTS)}
