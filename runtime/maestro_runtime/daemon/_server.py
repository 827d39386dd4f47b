"""The socket of the daemon: who may connect, and a thread that serves them."""

import asyncio
import logging
import os
import socket
import stat
import threading
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from maestro_runtime.daemon._connection import Connection, Gate
from maestro_runtime.daemon.errors import SocketInUse, SocketUnusable
from maestro_runtime.wire.line import short

CONNECTIONS_MAX: Final = 4096
"""Clients at the same time; further ones are closed at once."""

BACKLOG: Final = 128
"""Clients that may wait to be let in."""

REFUSED_SECONDS: Final = 0.1
"""Until the next client is let in after one could not be."""

STREAM_BYTES: Final = 64 << 10
"""What is read ahead of each connection."""

_log: Final = logging.getLogger(__name__)


class SocketServer:
    """Listens on a UNIX socket, on a thread and a loop of its own."""

    def __init__(
        self, path: Path, gate: Gate, users: Collection[int], *, group: int | None = None
    ) -> None:
        """Bind the socket and serve it; a stale one at `path` is replaced.

        Args:
            path: Of the socket. The caller owns the state that it belongs to.
            gate: What clients reach.
            users: Ids of the users who may connect.
            group: Id of the group that the file is open to, besides its owner.

        Raises:
            SocketInUse: Another daemon answers there.
            SocketUnusable: It cannot be made.
            OSError, RuntimeError: The machine has no descriptors, or no memory, for its thread;
                no socket is left.
        """
        self.path: Final = path
        self._gate: Final = gate
        self.users = frozenset(users)
        """May be replaced; who is connected stays so."""
        self._connections: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="socket", daemon=True)
        with ExitStack() as failed:
            self._listener = failed.enter_context(_bound(path, group))
            failed.callback(path.unlink)
            self._loop = asyncio.new_event_loop()
            failed.callback(self._loop.close)
            self._loop.add_reader(self._listener, self._accept)
            self._thread.start()
            failed.pop_all()

    def close(self) -> None:
        """Close the socket and every connection. A second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            with suppress(FileNotFoundError):
                self.path.unlink()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._listen())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        await self._stop.wait()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        # In this round those begin that were let in just now: each closes what it has opened.
        await asyncio.sleep(0)
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        # And in this one the transports let go of their sockets.
        await asyncio.sleep(0)

    def _accept(self) -> None:
        """Let a client in; not by a task, which would lose one if it were cancelled right then."""
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # Out of descriptors, most likely: those who are here come first.
            _log.warning("a client could not be let in: %s", error)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(REFUSED_SECONDS, self._accept_again)
            return
        client.settimeout(0)
        if len(self._connections) >= CONNECTIONS_MAX:
            client.close()
            return
        connection = self._loop.create_task(self._serve(client))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    def _accept_again(self) -> None:
        if not self._stop.is_set():
            self._loop.add_reader(self._listener, self._accept)

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=client, limit=STREAM_BYTES)
        try:
            await Connection(reader, writer, self._gate).serve(self.users)
        except Exception:  # noqa: BLE001 - the others must not hear of it
            _log.exception("a connection failed")
        finally:
            # What it was told is in the kernel's hands; what it does not read, it need not get.
            writer.transport.abort()


def _bound(path: Path, group: int | None) -> socket.socket:
    """Return a listening socket that only this user can reach, and a group if one is given."""
    with ExitStack() as failed:
        listener = failed.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            _remove_stale(path)
            # Before the bind: a mode that is set after it comes too late.
            before = os.umask(0o177)
            try:
                with short(path) as bindable:
                    listener.bind(bindable)
            finally:
                os.umask(before)
            if group is not None:
                # Only now is it the right group that the mode lets in.
                os.chown(path, -1, group)
                path.chmod(0o660)
            listener.listen(BACKLOG)
            listener.settimeout(0)
        except OSError as error:
            raise SocketUnusable(str(path), error.strerror or str(error)) from error
        failed.pop_all()
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that is gone; leave everything else alone."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketUnusable(str(path), "there is a file of another kind")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            with short(path) as reachable:
                probe.connect(reachable)
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise SocketInUse(str(path))
