"""`maestro.toml`, the configuration of the daemon: TOML in, or every mistake at once."""

import grp
import os
import pwd
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET

from maestro_runtime.config._daemon_tables import AccessTable, DaemonFile
from maestro_runtime.config._decode import decode_table
from maestro_runtime.config._problems import Problems, shown, unknown
from maestro_runtime.config._tables import given
from maestro_runtime.config._toml import read_toml
from maestro_runtime.config.errors import DaemonFileInvalid, DaemonFileUnreadable
from maestro_runtime.config.policy import check_policy, policy_of
from maestro_runtime.policy import RuntimePolicy
from maestro_runtime.wire.line import NAME_BYTES_MAX

FILE_DEFAULT: Final = Path("/etc/maestro/maestro.toml")
"""Read if it exists and no other file is named."""

SOCKET_RULE: Final = f"the path of a socket, whose name has at most {NAME_BYTES_MAX} bytes"
"""Its directory may be as deep as it likes."""

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")


class Access(msgspec.Struct, frozen=True):
    """Who may connect to the socket, besides the daemon's own user."""

    users: tuple[int, ...] = ()
    """Ids."""
    group: int | None = None
    """Id of the group that the socket is open to; what its members may is for `users` to say."""


class LoadedDaemonFile(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration file without a mistake."""

    values: dict[str, Any]
    """What it sets of `socket`, `drain_timeout_seconds`, `log_level`, `log_format`, `log_file`, as
    given, but with absolute paths."""
    access: Access = Access()
    policy: RuntimePolicy = RuntimePolicy()


def read_daemon_file(path: Path) -> LoadedDaemonFile:
    """Read a configuration file and check it as a whole.

    A relative `socket`, `prices` or `file` of the log starts at the directory of the file.

    Raises:
        DaemonFileUnreadable: There is no such file, or it cannot be read.
        DaemonFileInvalid: It is not TOML, or breaks rules; the error has all of them.
    """
    problems = Problems()
    document = read_toml(path, DaemonFileUnreadable, DaemonFileInvalid)
    file = decode_table(document, DaemonFile, (), problems)
    _check_words(file, problems)
    check_policy(file, problems)
    access = _access(file.access, problems)
    directory = path.absolute().parent
    if found := problems.listed():
        raise DaemonFileInvalid(str(path), found)
    values = {f"log_{key}": value for key, value in given(file.log).items()}
    if file.log.file is not UNSET:
        values["log_file"] = str(directory / file.log.file)
    if file.socket is not UNSET:
        values["socket"] = str(directory / file.socket)
    if file.drain_timeout_seconds is not UNSET:
        values["drain_timeout_seconds"] = file.drain_timeout_seconds
    policy = policy_of(file, directory)
    return LoadedDaemonFile(values=values, access=access, policy=policy)


def names_socket(text: str) -> bool:
    """Whether a socket may have such a path; whether it can be made there is another thing."""
    return "\0" not in text and 0 < len(os.fsencode(Path(text).name)) <= NAME_BYTES_MAX


def _check_words(file: DaemonFile, problems: Problems) -> None:
    for key, words in (("level", LEVELS), ("format", FORMATS)):
        word = getattr(file.log, key)
        if word is not UNSET and word not in words:
            problems.add(("log", key), unknown(word, f"log {key}", words))
    if file.socket is not UNSET and not names_socket(file.socket):
        problems.add(("socket",), f"must be {SOCKET_RULE}, got {shown(file.socket)}")
    path = file.log.file
    if path is not UNSET and ("\0" in path or not path):
        problems.add(("log", "file"), f"must be the path of a file, got {shown(path)}")


def _access(table: AccessTable, problems: Problems) -> Access:
    users = []
    for at, name in enumerate(table.users):
        try:
            users.append(int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid)
        except (KeyError, ValueError):
            problems.add(("access", "users", at), f"must be a user, got {shown(name)}")
    group: int | None = None
    if table.group:
        try:
            group = grp.getgrnam(table.group).gr_gid
        except (KeyError, ValueError):
            problems.add(("access", "group"), f"must be a group, got {shown(table.group)}")
    if users and not table.group:
        # Only its owner and root could reach the socket.
        problems.add(("access", "group"), "is required with users")
    return Access(tuple(users), group)
