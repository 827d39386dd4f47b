"""The state a command is about: its records, and the process that runs sessions in it, if any."""

from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_runtime.cli._options import named_socket, state_path
from maestro_runtime.cli._output import say
from maestro_runtime.cli._owner import Owner
from maestro_runtime.cli._sessions import to_leave_safe_mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_runtime.cli._at_rest import AtRest
    from maestro_runtime.wire.line import Line
    from maestro_storage import Records, StateView
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
    with open_state(state_dir) as state:
        yield state.records if isinstance(state, Owner) else state


@contextmanager
def open_state(state_dir: str | None) -> "Iterator[StateView | Owner]":
    """Lend the state directory in force, or the process that owns it.

    Arguments and errors are those of `open_records`.
    """
    from maestro_storage import Store
    from maestro_storage.errors import StateOwned

    with open_named_owner(state_dir) as owner:
        if owner is not None:
            yield owner
            return
    try:
        view = Store.inspect(state_path(state_dir))
    except StateOwned as owned:
        with _through_socket(state_dir, owned) as owner:
            yield owner
    else:
        with view:
            yield view


@contextmanager
def open_desk(state_dir: str | None) -> "Iterator[Owner | AtRest]":
    """Lend who changes the state directory in force: its owner, or this process if it has none.

    Nothing is made of a directory without a state by looking at its records.

    Args:
        state_dir: As the flag says it, if it was given.

    Raises:
        SettingInvalid: The flag or the environment does not name a directory.
        ProtocolMismatch, PeerRefused: The owner does not talk to this program.
    """
    from maestro_runtime.cli._at_rest import AtRest

    with open_owner(state_dir) as owner:
        if owner is not None:
            yield owner
            return
    with AtRest(state_path(state_dir)) as desk:
        yield desk


@contextmanager
def open_named_owner(state_dir: str | None) -> "Iterator[Owner | None]":
    """Lend the process at the socket that the environment names; None: there is none.

    A state directory that the flag names comes first: then there is none either.
    """
    if state_dir is not None or named_socket() is None:
        # Nothing of a connection is loaded for a state that nobody owns.
        yield None
        return
    with open_owner(None) as owner:
        yield owner


@contextmanager
def open_owner(state_dir: str | None) -> "Iterator[Owner | None]":
    """Lend the process that runs sessions of the state directory in force; None: there is none.

    Args:
        state_dir: As the flag says it, if it was given.

    Raises:
        SettingInvalid: The flag or the environment does not name a directory.
        ProtocolMismatch, PeerRefused: It does not talk to this program.
    """
    from maestro_runtime.wire.errors import DaemonUnreachable

    try:
        line = reached(state_dir)
    except DaemonUnreachable:
        yield None
        return
    with closing(Owner(line)) as owner:
        yield owner


@contextmanager
def _through_socket(state_dir: str | None, owned: "StateOwned") -> "Iterator[Owner]":
    with open_owner(state_dir) as owner:
        if owner is None:
            # An owner without a socket, such as a backup.
            raise owned
        if owner.in_safe_mode:
            say(f"the daemon is in safe mode, nothing runs; {to_leave_safe_mode()}")
        yield owner


def reached(state_dir: str | None) -> "Line":
    """Connect to the owner of the state directory in force.

    It is looked for where the flag says, else at the socket that the environment names, else in the
    state directory that the environment names, or the default.

    Raises:
        DaemonUnreachable: Nobody answers, or who does has another directory than the flag names.
        ProtocolMismatch, PeerRefused: It does not talk to this program.
        SettingInvalid: The flag or the environment does not name a directory.
    """
    from maestro_runtime.wire.errors import DaemonUnreachable
    from maestro_runtime.wire.line import SOCKET_NAME, Line

    path, named = state_path(state_dir), named_socket()
    own = path / SOCKET_NAME
    if state_dir is None or named is None:
        return Line(named or own)
    try:
        return Line(own)
    except DaemonUnreachable:
        # Its owner may listen elsewhere.
        return line_to(path, named)


def line_to(state_dir: Path, socket: Path) -> "Line":
    """Connect to the owner of a state directory at a socket that may be another's.

    Raises:
        DaemonUnreachable: Nobody answers, or who does has another directory.
        ProtocolMismatch, PeerRefused: It does not talk to this program.
    """
    from maestro_runtime.wire.errors import DaemonUnreachable
    from maestro_runtime.wire.line import Line

    line = Line(socket)
    with ExitStack() as refused:
        refused.callback(line.close)
        if Path(Owner(line).info().path).resolve() != state_dir.resolve():
            raise DaemonUnreachable(str(socket), "another state is served there")
        refused.pop_all()
    return line
