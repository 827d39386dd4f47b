"""A runtime that others can look at."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.daemon.errors import SocketUnusable
from maestro_runtime.runtime import Runtime
from maestro_runtime.wire.line import SOCKET_NAME

_log: Final = logging.getLogger(__name__)


@contextmanager
def reachable(runtime: Runtime, *, hosts: bool = False) -> Iterator[None]:
    """Let other processes of this user look at a runtime and change what it runs.

    They reach it through the socket in its state; with `hosts` they may also have sessions started
    in it. Who comes before it listens waits if the runtime is a `Runtime(...)`, and not if it is of
    `open_runtime`. Where no socket can be made, the runtime works without: that is logged, and
    others are told that it does not listen.

    Raises:
        StateNotWritable: They cannot be told.
    """
    gate = RuntimeGate(runtime, hosts=hosts)
    try:
        server = SocketServer(runtime.store.path / SOCKET_NAME, gate, users=(os.getuid(),))
    except SocketUnusable as error:
        _log.warning("others cannot look at this state: %s", error)
        runtime.store.stay_silent()
        yield
        return
    try:
        yield
    finally:
        server.close()
