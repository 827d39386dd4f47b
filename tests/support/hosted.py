"""A daemon within the test: a runtime that hosts sessions for clients, and can come and go."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from maestro_runtime import Client, Runtime, RuntimeOptions
from maestro_runtime.client import ClientOptions, Patience, connect
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.daemon._taking_up import take_up
from maestro_storage import CommitObserver, StoreOptions

BOUND_SECONDS = 20.0

HASTY = ClientOptions(patience=Patience(seconds=BOUND_SECONDS, first_seconds=0.001))


class Hosted:
    """One owner of a state after the other, each at the same socket."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.socket = directory / "socket"
        self._stack = ExitStack()

    def start(self, observer: CommitObserver | None = None) -> Runtime:
        """Open the state and serve it; what was under way goes on."""
        options = RuntimeOptions(
            store=StoreOptions(ballast_bytes=1 << 16), stop_grace_seconds=1.0, observer=observer
        )
        self.runtime = self._stack.enter_context(Runtime(self.state, options))
        server = SocketServer(
            self.socket, RuntimeGate(self.runtime, hosts=True), users=(os.getuid(),)
        )
        self._stack.callback(server.close)
        take_up(self.runtime, lambda _: True)
        return self.runtime

    def stop(self) -> None:
        """Close the socket first, then the runtime."""
        self._stack.close()

    @contextmanager
    def client(self, options: ClientOptions = HASTY) -> Iterator[Client]:
        """Lend a client that tries again at once."""
        with connect(self.socket, options=options) as client:
            yield client
