"""The daemon: a runtime that other processes reach through its socket."""

from maestro_runtime.daemon._serving import reachable

__all__ = ["reachable"]
