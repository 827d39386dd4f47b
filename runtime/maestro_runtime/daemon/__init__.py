"""The daemon: a runtime that other processes reach through its socket."""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader

if TYPE_CHECKING:
    from maestro_runtime.daemon._process import Daemon
    from maestro_runtime.daemon._serving import reachable
    from maestro_runtime.daemon.errors import DaemonError, SocketInUse, SocketUnusable

_HOMES = {
    "Daemon": "_process",
    "DaemonError": "errors",
    "SocketInUse": "errors",
    "SocketUnusable": "errors",
    "reachable": "_serving",
}
"""Public names, and the module each is loaded from."""

__all__ = ["Daemon", "DaemonError", "SocketInUse", "SocketUnusable", "reachable"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
