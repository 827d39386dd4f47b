"""What a daemon is started with: each value from a flag, the environment, or built in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from maestro_runtime.config._texts import seconds
from maestro_runtime.config.errors import SettingInvalid
from maestro_runtime.config.settings import BUILT_IN, SECONDS_MAX, Flags, Setting, resolve_settings
from maestro_runtime.wire.line import SOCKET_NAME

DRAIN_SECONDS: Final = 30.0
"""How long attempts in flight may take to come to their end when the daemon is told to stop."""


class DaemonFlags(msgspec.Struct, frozen=True, kw_only=True):
    """Values given on the command line, as typed; None where the flag was not given."""

    state_dir: str | None = None
    socket: str | None = None
    drain_timeout: str | None = None


class DaemonSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What applies to this start of the daemon."""

    state_dir: Setting[Path]
    socket: Setting[Path]
    drain_timeout_seconds: Setting[float]


def resolve_daemon(flags: DaemonFlags, environ: Mapping[str, str]) -> DaemonSettings:
    """Take each setting from its flag, else from the environment, else from the built-in value.

    Args:
        flags: What the command line gave; wins over everything.
        environ: Read for `MAESTRO_STATE_DIR`, `MAESTRO_SOCKET` and `MAESTRO_DRAIN_TIMEOUT`.

    Raises:
        SettingInvalid: A value that was given breaks its rule.
    """
    state_dir = resolve_settings(Flags(state_dir=flags.state_dir), environ).state_dir
    return DaemonSettings(
        state_dir=state_dir,
        socket=_socket(_given("socket", flags.socket, environ), state_dir.value),
        drain_timeout_seconds=_seconds(_given("drain_timeout", flags.drain_timeout, environ)),
    )


def _given(name: str, flag: str | None, environ: Mapping[str, str]) -> Setting[str] | None:
    if flag is not None:
        return Setting(flag, f"flag --{name.replace('_', '-')}")
    variable = f"MAESTRO_{name.upper()}"
    if variable in environ:
        return Setting(environ[variable], f"environment {variable}")
    return None


def _socket(given: Setting[str] | None, state_dir: Path) -> Setting[Path]:
    if given is None:
        return Setting(state_dir / SOCKET_NAME, BUILT_IN)
    if not given.value or "\0" in given.value:
        raise SettingInvalid(given.source, "the path of a socket", given.value)
    return Setting(Path(given.value).absolute(), given.source)


def _seconds(given: Setting[str] | None) -> Setting[float]:
    if given is None:
        return Setting(DRAIN_SECONDS, BUILT_IN)
    rule = seconds(SECONDS_MAX, zero=True)
    try:
        return Setting(rule.read(given.value), given.source)
    except ValueError as error:
        raise SettingInvalid(given.source, rule.text, given.value) from error
