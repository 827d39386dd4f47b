"""What a daemon works with: each value from a flag, the environment, its file, or built in."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from maestro_runtime.config._explain import ConfigValue
from maestro_runtime.config._texts import TextRule, one_of, seconds, unless
from maestro_runtime.config.daemon_file import (
    FILE_DEFAULT,
    FORMATS,
    LEVELS,
    SOCKET_RULE,
    Access,
    LoadedDaemonFile,
    names_socket,
    read_daemon_file,
)
from maestro_runtime.config.settings import (
    BUILT_IN,
    SECONDS_MAX,
    Flags,
    Setting,
    given,
    resolve_settings,
    ruled,
)
from maestro_runtime.policy import RuntimePolicy
from maestro_runtime.wire.line import SOCKET_NAME

if TYPE_CHECKING:
    from maestro_runtime.log import Level

DRAIN_SECONDS: Final = 30.0
"""How long attempts in flight may take to come to their end when the daemon is told to stop."""

FIXED: Final = frozenset(
    {"daemon.socket", "daemon.log_format", "daemon.log_file", "daemon.access.group"}
)
"""What a daemon takes over only when it starts."""

POLICY: Final = "daemon.policy."


class DaemonFlags(msgspec.Struct, frozen=True, kw_only=True):
    """Values given on the command line, as typed; None where the flag was not given."""

    state_dir: str | None = None
    socket: str | None = None
    drain_timeout: str | None = None
    config: str | None = None


class DaemonSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What applies to a daemon."""

    state_dir: Setting[Path]
    socket: Setting[Path]
    drain_timeout_seconds: Setting[float]
    log_level: "Setting[Level]"
    log_format: Setting[str]
    log_file: Setting[str]
    """Absolute; empty: stderr."""
    access: Setting[Access]
    policy: Setting[RuntimePolicy]


def resolve_daemon(flags: DaemonFlags, environ: Mapping[str, str]) -> DaemonSettings:
    """Take each setting from its flag, else the environment, else the file, else the built-in one.

    Args:
        flags: What the command line gave; wins over everything. The file is that of `config`, else
            `/etc/maestro/maestro.toml` if it exists.
        environ: Read for `MAESTRO_STATE_DIR`, `MAESTRO_SOCKET`, `MAESTRO_DRAIN_TIMEOUT`,
            `MAESTRO_LOG_LEVEL`, `MAESTRO_LOG_FORMAT` and `MAESTRO_LOG_FILE`.

    Raises:
        SettingInvalid: A value that was given breaks its rule.
        DaemonFileUnreadable: There is no such file, or it cannot be read.
        DaemonFileInvalid: It is not TOML, or breaks rules; the error has all of them.
    """
    path = FILE_DEFAULT if flags.config is None else Path(flags.config)
    loaded = LoadedDaemonFile(values={})
    in_file = BUILT_IN
    if flags.config is not None or _is_there(path):
        loaded, in_file = read_daemon_file(path), f"configuration file {path}"

    def setting(key: str, flag: str | None, rule: TextRule, built_in: Any) -> Setting[Any]:
        otherwise = Setting(built_in, BUILT_IN)
        if key in loaded.values:
            otherwise = Setting(loaded.values[key], in_file)
        return ruled(given(key.removesuffix("_seconds"), flag, environ), rule, otherwise)

    state_dir = resolve_settings(Flags(state_dir=flags.state_dir), environ).state_dir
    socket = setting("socket", flags.socket, _SOCKET, state_dir.value / SOCKET_NAME)
    timeout = seconds(SECONDS_MAX, zero=True)
    return DaemonSettings(
        state_dir=state_dir,
        socket=Setting(Path(socket.value).absolute(), socket.source),
        drain_timeout_seconds=setting(
            "drain_timeout_seconds", flags.drain_timeout, timeout, DRAIN_SECONDS
        ),
        log_level=setting("log_level", None, one_of(LEVELS), "info"),
        log_format=setting("log_format", None, one_of(FORMATS), "text"),
        log_file=setting("log_file", None, _FILE, ""),
        access=Setting(loaded.access, BUILT_IN if loaded.access == Access() else in_file),
        policy=Setting(loaded.policy, BUILT_IN if loaded.policy == RuntimePolicy() else in_file),
    )


def explain_daemon(settings: DaemonSettings) -> Iterator[ConfigValue]:
    """Yield each value in force for a daemon, with its source."""
    for key in ("socket", "drain_timeout_seconds", "log_level", "log_format", "log_file"):
        setting: Setting[Any] = getattr(settings, key)
        yield ConfigValue(f"daemon.{key}", _plain(setting.value), setting.source)
    for part in ("access", "policy"):
        struct: Setting[msgspec.Struct] = getattr(settings, part)
        for key, value in msgspec.structs.asdict(struct.value).items():
            yield ConfigValue(f"daemon.{part}.{key}", _plain(value), struct.source)


def changes(before: DaemonSettings, after: DaemonSettings) -> tuple[str, ...]:
    """Return what has another value, in words, but for the policy."""
    old = {value.key: value.value for value in explain_daemon(before)}
    new = {value.key: value.value for value in explain_daemon(after)}
    return tuple(
        f"{key.removeprefix('daemon.')}: {old[key]} -> {new[key]}"
        + (" (after a restart)" if key in FIXED else "")
        for key in old
        if old[key] != new[key] and not key.startswith(POLICY)
    )


def _is_there(path: Path) -> bool:
    """Whether there is a file, or something in the way of knowing: reading it tells what."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=str)


_SOCKET: Final = TextRule(SOCKET_RULE, unless(lambda text: not names_socket(text)))
_FILE: Final = TextRule(
    "the absolute path of a file", unless(lambda text: text[:1] != "/" or "\0" in text)
)
