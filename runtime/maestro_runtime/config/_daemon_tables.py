"""The shape of `maestro.toml`. Everything has a default here: what is required is a check."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from maestro_runtime.config.policy import PolicyTables
from maestro_runtime.config.settings import SECONDS_MAX


class LogTable(msgspec.Struct, frozen=True):
    """`[log]`."""

    level: str | UnsetType = UNSET
    format: str | UnsetType = UNSET
    file: str | UnsetType = UNSET


class AccessTable(msgspec.Struct, frozen=True):
    """`[access]`."""

    users: tuple[str, ...] = ()
    """Names, or ids as digits."""
    group: str = ""


class DaemonFile(PolicyTables, frozen=True):
    """The whole file."""

    socket: str | UnsetType = UNSET
    drain_timeout_seconds: Annotated[float, Meta(ge=0, le=SECONDS_MAX)] | UnsetType = UNSET
    log: LogTable = LogTable()
    access: AccessTable = AccessTable()
