"""Looking at what is on record, also while another process has the state open."""

from contextlib import contextmanager
from typing import TYPE_CHECKING

from maestro_runtime.cli._options import state_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from maestro_storage import Records
    from maestro_storage.errors import StateOwned


@contextmanager
def open_records(state_dir: str | None) -> "Iterator[Records]":
    """Lend the records of the state directory in force, verified as they are read.

    If another process owns the directory, they are read through its socket.

    Args:
        state_dir: As the flag says it, if it was given.

    Raises:
        NotFound: There is no state there.
        StateOwned: The owner has no socket that this user may use.
        NetworkFileSystem, StateNotWritable, StateTooNew, RecordTooNew, StateDamaged: It cannot be
            read or trusted.
        SettingInvalid: The flag or the environment does not name a directory.
    """
    from maestro_storage import Store
    from maestro_storage.errors import StateOwned

    path = state_path(state_dir)
    try:
        view = Store.inspect(path)
    except StateOwned as owned:
        with _through_socket(path, owned) as records:
            yield records
    else:
        with view:
            yield view


@contextmanager
def _through_socket(path: "Path", owned: "StateOwned") -> "Iterator[Records]":
    from maestro_runtime.wire.errors import DaemonUnreachable
    from maestro_runtime.wire.line import SOCKET_NAME, Line
    from maestro_runtime.wire.records import LineRows
    from maestro_storage import Records

    try:
        line = Line(path / SOCKET_NAME)
    except DaemonUnreachable:
        # An owner without one, such as a backup, or a release from before there was one.
        raise owned from None
    with line:
        welcome = line.welcome
        yield Records(LineRows(line), epoch=welcome.epoch, quarantined=welcome.quarantined)
