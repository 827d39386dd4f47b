"""The first contact of a command with the process that owns the state it is about."""

import math
import time
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Final

from maestro_runtime.cli._options import named_socket, names_state, state_path
from maestro_runtime.cli._output import say
from maestro_runtime.cli._owner import Owner
from maestro_runtime.client._first_contact import first_contact, is_coming
from maestro_runtime.client._patience import Patience
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.line import SOCKET_NAME, Line
from maestro_storage import require_unowned
from maestro_storage.errors import StateOwned

PATIENCE: Final = Patience(coming_seconds=5.0, most_seconds=0.5)
"""Of an owner that does not listen yet, or any more, or only looks. Less than a client has: a
person at a terminal wants to hear of one that hangs."""

QUIET_SECONDS: Final = 1.0
"""How long it is waited for without a word: most are gone by then."""


def reached(state_dir: str | None) -> Line:
    """Connect to the owner of the state in force; one that does not answer is waited for.

    Raises:
        DaemonUnreachable: Nobody answers, or who does has another directory than the flag names.
        StateOwned: It does not listen, or has been waited for in vain.
        ProtocolMismatch, PeerRefused: It does not talk to this program.
        SettingInvalid: The flag or the environment does not name a directory.
    """
    path = state_path(state_dir)
    try:
        line = first_contact(partial(reached_at_once, state_dir), _Wait(state_dir, path), PATIENCE)
    except DaemonUnreachable:
        if is_only_socket(state_dir):
            say("MAESTRO_SOCKET names it; to look at a state that nobody serves: --state-dir DIR")
        else:
            _tell_other(state_dir, path, None)
            require_unowned(path)
        raise
    _tell_other(state_dir, path, line.path)
    return line


def reached_at_once(state_dir: str | None) -> Line:
    """Connect to the owner of the state in force.

    It is looked for where the flag says, else at the socket that the environment names, else in the
    state directory that the environment names, or the default.

    Raises:
        DaemonUnreachable, ProtocolMismatch, PeerRefused, SettingInvalid: As `reached`.
    """
    path, named = state_path(state_dir), named_socket()
    own = path / SOCKET_NAME
    if named is None:
        return Line(own)
    if is_only_socket(state_dir):
        return Line(named)
    if state_dir is None:
        try:
            return Line(named)
        except DaemonUnreachable:
            return Line(own)
    try:
        return Line(own)
    except DaemonUnreachable:
        # Its owner may listen elsewhere.
        return line_to(path, named)


def line_to(state_dir: Path, socket: Path) -> Line:
    """Connect to the owner of a state directory at a socket that may be another's.

    Raises:
        DaemonUnreachable: Nobody answers, or who does has another directory.
        ProtocolMismatch, PeerRefused: It does not talk to this program.
    """
    line = Line(socket)
    with ExitStack() as refused:
        refused.callback(line.close)
        if Path(Owner(line).info().path).resolve() != state_dir.resolve():
            raise DaemonUnreachable(str(socket), "another state is served there")
        refused.pop_all()
    return line


class _Wait:
    """Whether somebody is waited for who does not answer; says so when that takes its time."""

    def __init__(self, state_dir: str | None, path: Path) -> None:
        self._state_dir = state_dir
        self._path = path
        self._speaks_at = time.monotonic() + QUIET_SECONDS

    def __call__(self, gone: DaemonUnreachable) -> bool:
        if is_only_socket(self._state_dir):
            is_awaited, reason = is_coming(Path(gone.path), gone), str(gone)
        else:
            try:
                require_unowned(self._path)
            except StateOwned as owned:
                is_awaited, reason = not owned.is_silent, f"{owned}, and does not answer"
            else:
                return False
        if is_awaited and time.monotonic() >= self._speaks_at:
            self._speaks_at = math.inf
            say(f"{reason}; waiting for up to {PATIENCE.coming_seconds:.0f} s")
        return is_awaited


def is_only_socket(state_dir: str | None) -> bool:
    """Whether nothing tells which state is meant but the socket of its owner."""
    return state_dir is None and named_socket() is not None and not names_state()


def _tell_other(state_dir: str | None, path: Path, reached: Path | None) -> None:
    """Say so if nobody answers at the socket that the environment names, but for its state."""
    named = named_socket()
    if state_dir is None and named is not None and named != reached:
        _tell_once(f"no daemon answers at {named} (MAESTRO_SOCKET): what is in {path} is meant")


_tell_once = cache(say)
