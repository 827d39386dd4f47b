"""A daemon beside a test, and the service manager it talks to."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from command_line import CommandLine
from maestro_runtime import SessionOrder, open_runtime
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.wire.frames import Events, Follow, packed, receive
from maestro_runtime.wire.line import SOCKET_NAME, connected
from maestro_storage import Store
from maestro_storage.records import EventRecord
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line

if TYPE_CHECKING:
    from subprocess import Popen

SLOW = "[personas.reviewer]\nlatency_seconds = {seconds}"

HELD = """[personas.reviewer]
engine = "command"
command = {{ argv = ["sh", "-c", "until [ -e go ]; do sleep 0.1; done; >review.md; exit {code}"] }}
max_attempts = 5
max_rounds = 1"""
"""Its work takes until there is a file `go` in the workspace."""


class ServiceManager:
    """Hears what a daemon tells systemd, on a real datagram socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(address.replace("@", "\0"))
        self._line.settimeout(BOUND_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def next(self) -> dict[str, str]:
        """Wait for a message."""
        lines = self._line.recv(1 << 16).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def wait(self) -> dict[str, str]:
        """Wait for a message, for ever."""
        self._line.settimeout(None)
        return self.next()

    def tell(self, text: str) -> None:
        """Send itself a message."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(text.encode(), self.address)

    def until(self, key: str) -> list[dict[str, str]]:
        """Return the messages up to one that has `key`."""
        heard = [self.next()]
        while key not in heard[-1]:
            heard.append(self.next())
        return heard

    def heard(self) -> list[dict[str, str]]:
        """Return what is there already."""
        self._line.settimeout(0)
        found = []
        try:
            while True:
                found.append(self.next())
        except BlockingIOError:
            return found
        finally:
            self._line.settimeout(BOUND_SECONDS)


def start(cli: CommandLine, *arguments: object) -> "Popen[str]":
    """Start a daemon and return at once."""
    return cli.start("serve", *arguments)


@contextmanager
def serving(cli: CommandLine, *arguments: object) -> Iterator["Popen[str]"]:
    """Lend a daemon that is ready."""
    with killed_at_the_end(start(cli, *arguments)) as process:
        wait_for_line(process, "ready")
        yield process


def stopped(process: "Popen[str]") -> str:
    """Tell a daemon to stop, wait until it has, and return what it said."""
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=BOUND_SECONDS)
    return said


def slow_team(cli: CommandLine, seconds: float = 600) -> Path:
    """Write a team whose second task takes so long."""
    return _with_reviewer(cli, SLOW.format(seconds=seconds))


def held_team(cli: CommandLine, code: int = 0) -> Path:
    """Write a team whose second task takes until its session is let go."""
    return _with_reviewer(cli, HELD.format(code=code))


def let_go(cli: CommandLine, session: str) -> None:
    """Let the second task of a session end, now or as soon as it begins."""
    (workspace_of(cli, session) / "go").touch()


def _with_reviewer(cli: CommandLine, reviewer: str) -> Path:
    team = cli.team()
    team.write_text(team.read_text().replace("[personas.reviewer]", reviewer))
    return team


def session_under_way(cli: CommandLine, session: str, *, seconds: float | None = 600) -> None:
    """Leave a session that nobody runs, as after a crash.

    Its second task will take so long; None: until the session is let go.
    """
    team = held_team(cli) if seconds is None else slow_team(cli, seconds)
    loaded = load_team(team, settings=resolve_settings(Flags(), {}))
    with open_runtime(cli.state_dir) as runtime:
        runtime.create(SessionOrder(loaded.team, session, workspace_of(cli, session)))


def workspace_of(cli: CommandLine, session: str) -> Path:
    """Return where a session works."""
    return cli.directory / "maestro-output" / session


def attempts_of(cli: CommandLine, session: str) -> dict[str, list[str]]:
    """Return how the attempts of each task ended, of a state that nobody owns."""
    with Store.inspect(cli.state_dir) as store:
        return {
            task.task_id: [row.state for row in store.attempts.scan(session, task.task_id)]
            for task in store.tasks.scan(session)
        }


def state_of(cli: CommandLine, session: str) -> str:
    """Return the state of a session, of a state that nobody owns."""
    with Store.inspect(cli.state_dir) as store:
        return store.require_session(session).state


def wait_for_event(cli: CommandLine, session: str, kind: str, *, count: int = 1) -> None:
    """Wait until the history of a session that a daemon runs has so many events of a kind."""
    line, _ = connected(cli.state_dir / SOCKET_NAME, BOUND_SECONDS)
    with line:
        line.sendall(packed(Follow(id=1, session_id=session, since=1)))
        while count > 0:
            frame = receive(line)
            assert isinstance(frame, Events), frame
            events = [msgspec.msgpack.decode(event, type=EventRecord) for event in frame.events]
            count -= sum(event.kind == kind for event in events)
