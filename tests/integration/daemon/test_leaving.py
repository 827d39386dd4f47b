"""A process that leaves has answered the orders that it has carried out."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maestro_runtime import Runtime, open_runtime
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.line import Line
from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS
from maestro_runtime.wire.state import CUSTODIAN_ADDRESS

BOUND_SECONDS = 60.0


class LateGate(RuntimeGate):
    """Answers only when its server has told everybody to go."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.asked = threading.Event()
        self.leaving: asyncio.Event

    async def ask(self, address: str, message: bytes) -> bytes:
        self.asked.set()
        await self.leaving.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        return b"done"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[LateGate]:
    with open_runtime(tmp_path / "state") as runtime:
        yield LateGate(runtime)


def told(gate: LateGate, socket: Path, address: str) -> bytes:
    """Return what is answered by a process that leaves once it was asked."""
    server = SocketServer(socket, gate, (os.getuid(),))
    gate.leaving = vars(server)["_stop"]
    with ThreadPoolExecutor() as threads, Line(socket) as line:
        answer = threads.submit(line.ask, address, b"")
        assert gate.asked.wait(BOUND_SECONDS)
        server.close()
        return answer.result(BOUND_SECONDS)


def test_an_order_that_was_taken_is_answered_before_its_process_leaves(
    gate: LateGate, tmp_path: Path
) -> None:
    assert told(gate, tmp_path / "socket", SUPERVISOR_ADDRESS) == b"done"


def test_who_only_looks_keeps_nobody_from_leaving(gate: LateGate, tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match="closed the connection"):
        told(gate, tmp_path / "socket", CUSTODIAN_ADDRESS)
