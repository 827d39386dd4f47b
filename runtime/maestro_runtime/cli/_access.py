"""The state a command is about: its records, and the process that runs sessions in it, if any."""

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from maestro_runtime.cli._options import named_socket, state_path
from maestro_runtime.cli._output import say
from maestro_runtime.cli._owner import Owner
from maestro_runtime.cli._sessions import to_leave_safe_mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_runtime.cli._at_rest import AtRest
    from maestro_storage import Records, StateView


@contextmanager
def open_records(state_dir: str | None, *, at_once: bool = False) -> "Iterator[Records]":
    """Lend the records of the state in force, verified as they are read.

    If another process owns the state, they are read through its socket.

    Args:
        state_dir: As the flag says it, if it was given.
        at_once: As `open_owner`.

    Raises:
        NotFound: There is no state there.
        StateOwned: The owner has no socket that this user may use.
        NetworkFileSystem, StateNotWritable, StateTooNew, RecordTooNew, StateDamaged: It cannot be
            read or trusted.
        DaemonUnreachable, SettingInvalid: As `open_owner`.
    """
    with open_state(state_dir, at_once=at_once) as state:
        yield state.records if isinstance(state, Owner) else state


@contextmanager
def open_state(state_dir: str | None, *, at_once: bool = False) -> "Iterator[StateView | Owner]":
    """Lend the state in force, or the process that owns it.

    Arguments and errors are those of `open_records`.
    """
    from maestro_storage import Store
    from maestro_storage.errors import StateOwned

    with open_named_owner(state_dir, at_once=at_once) as owner:
        if owner is not None:
            yield owner
            return
    path = state_path(state_dir)
    try:
        view = Store.inspect(path)
    except StateOwned:
        with open_owner(state_dir, at_once=at_once) as owner:
            if owner is not None:
                if owner.in_safe_mode:
                    say(f"the daemon is in safe mode, nothing runs; {to_leave_safe_mode()}")
                yield owner
                return
        # Whoever had it has left.
        view = Store.inspect(path)
    with view:
        yield view


@contextmanager
def open_desk(state_dir: str | None) -> "Iterator[Owner | AtRest]":
    """Lend who changes the state in force: its owner, or this process if it has none.

    Nothing is made of a directory without a state by looking at its records. Arguments and errors
    are those of `open_owner`.
    """
    from maestro_runtime.cli._at_rest import AtRest

    with open_owner(state_dir) as owner:
        if owner is not None:
            yield owner
            return
    with AtRest(state_path(state_dir)) as desk:
        yield desk


@contextmanager
def open_named_owner(state_dir: str | None, *, at_once: bool = False) -> "Iterator[Owner | None]":
    """Lend the process at the socket that the environment names; None: there is none.

    A state directory that the flag names comes first: then there is none either. Arguments and
    errors are those of `open_owner`.
    """
    if state_dir is not None or named_socket() is None:
        # Nothing of a connection is loaded for a state that nobody owns.
        yield None
        return
    with open_owner(None, at_once=at_once) as owner:
        yield owner


@contextmanager
def open_owner(state_dir: str | None, *, at_once: bool = False) -> "Iterator[Owner | None]":
    """Lend the process that runs sessions of the state in force; None: there is none.

    It is looked for where the flag says, else at the socket that the environment names, else in the
    state directory that the environment names, or the default. An owner that does not answer is
    about to, or about to leave, and is waited for, up to 5 seconds, unless it says that it does not
    listen.

    Args:
        state_dir: As the flag says it, if it was given.
        at_once: Wait for nobody, and say nothing.

    Raises:
        DaemonUnreachable: Nothing but a socket is named, and nobody answers there.
        StateOwned: It does not listen, or has been waited for and still does not answer, such as a
            backup.
        SettingInvalid: The flag or the environment does not name a directory.
        ProtocolMismatch, PeerRefused: The owner does not talk to this program.
    """
    from maestro_runtime.cli._contact import is_only_socket, reached, reached_at_once
    from maestro_runtime.wire.errors import DaemonUnreachable

    try:
        line = reached_at_once(state_dir) if at_once else reached(state_dir)
    except DaemonUnreachable:
        if is_only_socket(state_dir):
            raise
        yield None
        return
    with closing(Owner(line)) as owner:
        yield owner
