"""One cycle of the soak: sessions of all kinds, an engine that is killed, orders, and nothing left.

Everything is awaited by its event, so a daemon that has lost something is found, too.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from lined import LineProxies
from maestro_actors.team import Team
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.wire.frames import Events, Follow, packed, receive
from maestro_runtime.wire.line import Line, connected
from maestro_storage.records import EventRecord

BOUND_SECONDS: Final = 50.0
TEAM: Final = """
[team]
name = "soak"
requirement = "a note, whatever happens"
max_parallel_workers = 2
[defaults]
backoff_seconds = 0.01
backoff_max_seconds = 0.01
round_backoff_seconds = [0.01]
[personas.dev]
{persona}
[[phases]]
name = "write"
[[contracts]]
id = "first"
name = "The first"
phase = "write"
provider_persona_id = "dev"
deliverables = [{{ name = "first", artifacts = ["first.md"] }}]
[[contracts]]
id = "second"
name = "The second"
phase = "write"
provider_persona_id = "dev"
after = ["first"]
deliverables = [{{ name = "second", artifacts = ["second.md"] }}]
"""
WORKS: Final = 'script = ["transient", "ok"]'
TAKES_LONG: Final = "latency_seconds = 600"
PROGRAM: Final = """
engine = "command"
[personas.dev.command]
argv = ["/bin/sh", "-c", "{script}"]
"""
SCRIPT: Final = (
    "mkdir begun && echo $$ > {pipe} && exec sleep 600; echo x > first.md; cp first.md second.md"
)
"""Its first attempt says its process and has to be killed; the next ones do the work."""


class Cycle:
    """What is done to a daemon, again and again."""

    def __init__(self, directory: Path, socket: Path) -> None:
        self._directory = directory
        self._socket = socket
        self._pipe = directory / "pipe"
        os.mkfifo(self._pipe)
        self._teams = {
            "works": self._team(WORKS),
            "slow": self._team(TAKES_LONG),
            "program": self._team(PROGRAM.format(script=SCRIPT.format(pipe=self._pipe))),
        }

    def run(self, number: int) -> int:
        """Do everything once and remove it; return how many sessions there were."""
        names = {kind: f"{kind}-{number}" for kind in ("works", "paused", "cancelled", "program")}
        with Line(self._socket) as line:
            supervisor = LineProxies(line).supervisor
            for kind, name in names.items():
                team = {"paused": "slow", "cancelled": "slow"}.get(kind, kind)
                supervisor.start_session(
                    team=self._teams[team],
                    base_dir=str(self._directory),
                    session_id=name,
                    output_dir=str(self._directory / "output" / name),
                ).get()
            with self._followed(names["paused"]) as follower:
                self._kill_program()
                _wait_for(follower, "attempt_started")
                supervisor.pause_session(
                    session_id=names["paused"], reason="soak", interrupt=True
                ).get()
                _wait_for(follower, "session_paused")
            supervisor.cancel_session(session_id=names["cancelled"], reason="soak").get()
            supervisor.cancel_session(session_id=names["paused"], reason="soak").get()
            for kind, name in names.items():
                ends = "done" if kind in {"works", "program"} else "cancelled"
                with self._followed(name) as follower:
                    _wait_for(follower, f"session_{ends}")
                supervisor.remove_session(session_id=name).get()
        shutil.rmtree(self._directory / "output")
        return len(names)

    def _kill_program(self) -> None:
        """Kill the first attempt of the program; it says its process when it has begun."""
        os.kill(int(self._pipe.read_text()), signal.SIGKILL)

    def _team(self, persona: str) -> Team:
        path = self._directory / "team.toml"
        path.write_text(TEAM.format(persona=persona))
        return load_team(path, settings=resolve_settings(Flags(), {})).team

    @contextmanager
    def _followed(self, session_id: str) -> "Iterator[Iterator[EventRecord]]":
        """Lend the events of a session from the first one on; the connection is just dropped."""
        line, _ = connected(self._socket, BOUND_SECONDS)
        with line:
            line.sendall(packed(Follow(id=1, session_id=session_id, since=1)))

            def events() -> Iterator[EventRecord]:
                while isinstance(frame := receive(line), Events):
                    for event in frame.events:
                        yield msgspec.msgpack.decode(event, type=EventRecord)

            yield events()


def _wait_for(events: "Iterator[EventRecord]", kind: str) -> None:
    for event in events:
        if event.kind == kind:
            return
    raise EOFError(f"{kind} was not told")
