"""An observer of its own: a process that is told what a runtime acknowledges, and outlives it."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from invariants import as_line
from maestro_runtime.cli._event_line import EventLine
from maestro_runtime.reports.session import SessionReport
from maestro_storage.records import EventRecord

QUESTION: Final = b"all?\n"
"""Answered once everything that was told before is in the log."""
BOUND_SECONDS: Final = 20.0


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a runtime has told: an event, or how a session has ended."""

    event: EventLine | None = None
    session_id: str = ""
    state: str = ""
    tasks: dict[str, str] = {}
    tokens_used: int = 0

    @classmethod
    def of(cls, report: SessionReport) -> "Told":
        """Say how a session has ended."""
        tasks: dict[str, str] = {task.task_id: task.state for task in report.tasks}
        return cls(
            session_id=report.session_id,
            state=report.state,
            tasks=tasks,
            tokens_used=report.tokens_used,
        )


_decode = msgspec.json.Decoder(Told).decode


class Teller:
    """The end of a runtime: what it tells has left the process, whatever becomes of it."""

    def __init__(self, path: Path) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def event(self, event: EventRecord) -> None:
        """Tell an event: a listener of the runtime."""
        self.tell(Told(event=as_line(event)))

    def result(self, report: SessionReport) -> None:
        """Tell how the session has ended."""
        self.tell(Told.of(report))

    def tell(self, told: Told) -> None:
        """Tell anything."""
        self._connection.sendall(msgspec.json.encode(told) + b"\n")


def told(path: Path, log: Path) -> list[Told]:
    """Return all that the observer was told by runtimes that have ended."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(BOUND_SECONDS)
        connection.connect(str(path))
        connection.sendall(QUESTION)
        connection.recv(1)
    return [_decode(line) for line in log.read_bytes().splitlines()]


def serve(listener: socket.socket, log: str) -> None:
    """Write what is told to `log`, for ever: one connection after the other."""
    with Path(log).open("ab", buffering=0) as file:
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                for line in stream:
                    if line == QUESTION:
                        connection.sendall(b".")
                    elif line.endswith(b"\n"):
                        file.write(line)
