"""A provider of its own: a process that bills calls and outlives every runtime it serves.

It answers one JSON object with another on each connection. Each time a call is asked for is billed:
who asks twice pays twice.
"""

import hashlib
import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

import forked

BOUND_SECONDS: Final = 20.0

Moment = Literal["received", "billed", "answered"]
"""received: the request is here, nothing is billed; billed: no answer yet; answered: it is sent."""


class Bill(msgspec.Struct, frozen=True):
    """What one call costs, as its provider has written it down."""

    call_id: str
    task_id: str
    ordinal: int
    input_tokens: int
    output_tokens: int


class Billing:
    """What the server knows; used in its process only."""

    def __init__(self, log: Path, *, breaks_off: bool) -> None:
        self._log = log
        self._breaks_off = breaks_off
        self._bills: dict[str, tuple[int, int]] = {}
        self._tells = True
        self._moment = ""
        self._left = 0

    def serve(self, connection: socket.socket) -> None:
        """Answer one request; kill whoever asks, if it is the moment."""
        with connection.makefile("rb") as stream:
            line = stream.readline()
        if not line.endswith(b"\n"):
            # Whoever asked was killed before it could say what.
            return
        request = json.loads(line)
        answer = getattr(self, "_" + request.pop("ask"))(connection, **request)
        if self._breaks_off and self._tells and broken_off(request.get("call_id", "")):
            # It has been billed: who asks again what for is told.
            return
        if _sent(connection, answer) and "call_id" in request:
            self._strike("answered", connection)

    def _call(
        self, connection: socket.socket, call_id: str, task_id: str, ordinal: int
    ) -> dict[str, int]:
        self._strike("received", connection)
        self._bills[call_id] = price(call_id)
        bill = Bill(call_id, task_id, ordinal, *price(call_id))
        with self._log.open("ab") as log:
            log.write(msgspec.json.encode(bill) + b"\n")
        self._strike("billed", connection)
        return self._figures(call_id)

    def _recover(self, _connection: socket.socket, of: str) -> dict[str, Any]:
        return self._figures(of) if self._tells else {}

    def _figures(self, call_id: str) -> dict[str, int]:
        billed = call_id in self._bills
        input_tokens, output_tokens = self._bills.get(call_id, (0, 0))
        return {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "requests": int(billed),
        }

    def _arm(
        self, _connection: socket.socket, moment: str, number: int, *, tells: bool
    ) -> dict[str, bool]:
        self._moment, self._left, self._tells = moment, number, tells
        return {"armed": True}

    def _strike(self, moment: Moment, connection: socket.socket) -> None:
        """Kill the runtime at its n-th call, if this is the moment."""
        if moment == self._moment:
            self._left -= 1
            if self._left == 0:
                form = "3i"
                credentials = connection.getsockopt(
                    socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form)
                )
                os.kill(struct.unpack(form, credentials)[0], signal.SIGKILL)


def price(call_id: str) -> tuple[int, int]:
    """Return the input and output tokens of a call: always the same, never what was reserved."""
    digest = hashlib.sha256(call_id.encode()).digest()
    return 10 + digest[0] % 60, 1 + digest[1] % 25


def broken_off(name: str) -> bool:
    """Whether an answer about something is never sent: the same for each name, one of eight."""
    return bool(name) and hashlib.sha256(name.encode()).digest()[2] < 32


def _sent(connection: socket.socket, answer: dict[str, Any]) -> bool:
    """Send an answer; False if whoever asked has been killed."""
    try:
        connection.sendall(json.dumps(answer).encode() + b"\n")
    except OSError:
        return False
    return True


def serve(listener: socket.socket, log: str, *, breaks_off: bool) -> None:
    """Bill for ever."""
    billing = Billing(Path(log), breaks_off=breaks_off)
    while True:
        connection, _ = listener.accept()
        with connection:
            billing.serve(connection)


class BillingServer:
    """The server, as a test sees it."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "billing.sock"
        self._log = directory / "bills.jsonl"
        self.tells = True

    def arm(
        self, moment: Moment | Literal["never"], number: int = 1, *, tells: bool = True
    ) -> None:
        """Let the n-th call, 1-based, kill its runtime; say whether `recover` is answered."""
        self.tells = tells
        self.ask({"ask": "arm", "moment": moment, "number": number, "tells": tells})

    def bills(self) -> list[Bill]:
        """Return every bill to runtimes that have ended."""
        # It serves one after the other: who asks last is answered when all before have been.
        self.ask({"ask": "recover", "of": ""})
        if not self._log.exists():
            return []
        return [
            msgspec.json.decode(line, type=Bill) for line in self._log.read_bytes().splitlines()
        ]

    def ask(self, request: dict[str, object]) -> None:
        """Ask, and wait for the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(BOUND_SECONDS)
            connection.connect(str(self.socket))
            connection.sendall(json.dumps(request).encode() + b"\n")
            connection.recv(100)


@contextmanager
def billing(directory: Path, *, breaks_off: bool = False) -> Iterator[BillingServer]:
    """Run a server in a process of its own, which may break off some connections."""
    server = BillingServer(directory)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(server.socket))
        listener.listen()
        main = partial(serve, breaks_off=breaks_off)
        with forked.server(main, listener, str(directory / "bills.jsonl")):
            yield server
