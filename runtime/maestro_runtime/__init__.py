"""Durable, actor-based execution of teams of AI personas.

Importing this package opens nothing and loads nothing; the names below are loaded when used.
"""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader
from maestro_runtime._version import __version__

if TYPE_CHECKING:
    from maestro_runtime.checkpoints import ForkOrder, ImportOrder
    from maestro_runtime.client import AsyncClient, Client, connect, connect_async
    from maestro_runtime.config import load_team
    from maestro_runtime.garbage import collect_seldom
    from maestro_runtime.options import RuntimeOptions
    from maestro_runtime.policy import RuntimePolicy
    from maestro_runtime.reports.listing import SessionFilter, SessionPage, list_sessions
    from maestro_runtime.runtime import Runtime, open_runtime
    from maestro_runtime.session import Session, SessionOrder
    from maestro_runtime.token_tracker import TokenTracker, TrackedUsage

_HOMES = {
    "AsyncClient": "client",
    "Client": "client",
    "ForkOrder": "checkpoints",
    "ImportOrder": "checkpoints",
    "Runtime": "runtime",
    "RuntimeOptions": "options",
    "RuntimePolicy": "policy",
    "Session": "session",
    "SessionFilter": "reports.listing",
    "SessionOrder": "session",
    "SessionPage": "reports.listing",
    "TokenTracker": "token_tracker",
    "TrackedUsage": "token_tracker",
    "collect_seldom": "garbage",
    "connect": "client",
    "connect_async": "client",
    "list_sessions": "reports.listing",
    "load_team": "config",
    "open_runtime": "runtime",
}
"""Public names, and the module each is loaded from."""

__all__ = [
    "AsyncClient",
    "Client",
    "ForkOrder",
    "ImportOrder",
    "Runtime",
    "RuntimeOptions",
    "RuntimePolicy",
    "Session",
    "SessionFilter",
    "SessionOrder",
    "SessionPage",
    "TokenTracker",
    "TrackedUsage",
    "__version__",
    "collect_seldom",
    "connect",
    "connect_async",
    "list_sessions",
    "load_team",
    "open_runtime",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
