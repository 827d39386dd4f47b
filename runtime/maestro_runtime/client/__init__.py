"""Driving a runtime from another process: the same proxies and verbs, through its socket."""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader

if TYPE_CHECKING:
    from maestro_runtime.client._async_client import AsyncClient, AsyncSession, connect_async
    from maestro_runtime.client._client import Client, ClientOptions, connect
    from maestro_runtime.client._patience import Patience

_HOMES = {
    "AsyncClient": "_async_client",
    "AsyncSession": "_async_client",
    "Client": "_client",
    "ClientOptions": "_client",
    "Patience": "_patience",
    "connect": "_client",
    "connect_async": "_async_client",
}
"""Public names, and the module each is loaded from."""

__all__ = [
    "AsyncClient",
    "AsyncSession",
    "Client",
    "ClientOptions",
    "Patience",
    "connect",
    "connect_async",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
