"""SIGKILL: kill the command line at random moments, resume the run, and check the invariants."""

import os
import random
import selectors
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

import forked
from command_line import CommandLine
from dealings import check_all_settled, check_dealings
from invariants import Observed, Task, check_over, check_state, done_tasks
from maestro_runtime.cli._progress import EventLine
from maestro_runtime.report import SessionReport
from observer import Told
from outside import SECRET, Outside, Seen, outside
from program import billed, random_program

SESSION: Final = "victim"
EVENTS: Final = 30
"""About as many as an unharmed run prints."""
EXTRA_SECONDS_MAX: Final = 0.02
"""About as long as a few commits take."""
RUN_SECONDS_MAX: Final = 40.0
KILLS_MAX: Final = 3
ATTEMPTS_MAX: Final = 5
"""One more than the kills and the failures of the engine that one task may meet in a row."""
ENDS: Final = frozenset({0, 1, 7})
"""Exit codes of a run that was not killed: all is well, a task has failed, or for its budget."""
CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Moment:
    """When a process is killed."""

    events: int
    """Events it has printed before."""
    extra_seconds: float
    """How long it lives on after the last of them."""


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Run one program with up to three kills, then to its end; count the kills."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    program = random_program(seed, max_attempts=ATTEMPTS_MAX, max_rounds=2)
    with outside(directory) as world:
        victim = Victim(directory, program.write(directory, billed(world.provider.socket)), world)
        kills = 0
        for _ in range(chance.randint(1, KILLS_MAX)):
            moment = Moment(chance.randint(1, EVENTS), chance.random() * EXTRA_SECONDS_MAX)
            if not victim.run(moment):
                break
            kills += 1
        if victim.run(None):
            raise TimeoutError(f"the run did not end within {RUN_SECONDS_MAX} s")
        program.check_end(victim.check_over())
    return Counter(kills=kills, runs=1, tasks=len(program.tasks))


class Victim:
    """A run by the command line. What it prints is read, and so kept, outside of it."""

    def __init__(self, directory: Path, team: Path, world: Outside) -> None:
        self._cli = CommandLine(directory)
        self._cli.environment |= {
            "PYTHONPATH": str(forked.PLUGINS) + ":" + str(forked.PLUGINS.parent),
            "MAESTRO_TICKET_SINK": "webhook",
            "MAESTRO_WEBHOOK_URL": world.sink_url,
            "MAESTRO_WEBHOOK_SECRET": SECRET,
        }
        self._team = team
        self._report = directory / "report.json"
        self._world = world
        self._observed = Observed(attempts_max=ATTEMPTS_MAX)
        self._done: frozenset[Task] = frozenset()

    def run(self, moment: Moment | None) -> bool:
        """Run, killed at a moment or not at all, and check what is left; True if it was killed."""
        argv = self._cli.argv("run", self._team, "--session", SESSION, "--json")
        with (
            self._report.open("wb") as report,
            subprocess.Popen(
                argv, env=self._cli.environment, stdout=report, stderr=subprocess.PIPE
            ) as process,
        ):
            text = _read(process, moment)
        lines = text.splitlines(keepends=True)
        self._observed.acknowledged += [
            msgspec.json.decode(line, type=EventLine)
            for line in lines
            if line.startswith(b"{") and line.endswith(b"\n")
        ]
        killed = process.returncode == -signal.SIGKILL
        if not killed and (process.returncode not in ENDS or b"Traceback" in text):
            raise subprocess.CalledProcessError(process.returncode, argv, stderr=text)
        seen = self._look(ended=not killed)
        self._observed.runs = seen.runs
        check_state(self._cli.state_dir, self._observed)
        check_dealings(self._cli.state_dir, seen)
        self._done |= done_tasks(self._cli.state_dir)
        return killed

    def check_over(self) -> dict[str, dict[str, str]]:
        """Check the run that was not killed; return the state of each task."""
        check_all_settled(self._cli.state_dir, self._look(ended=True))
        return check_over(self._cli.state_dir, self._observed, self._done)

    def _look(self, *, ended: bool) -> Seen:
        """Return what the world has seen, of which the report of a run that has ended is part."""
        seen = self._world.look()
        if ended:
            report = msgspec.json.decode(self._report.read_bytes(), type=SessionReport)
            seen.told.append(Told.of(report))
        return seen


def _read(process: "subprocess.Popen[bytes]", moment: Moment | None) -> bytes:
    """Return all that a process prints until it is killed, at the moment, or ends."""
    if process.stderr is None:
        raise RuntimeError("the process has no stderr")
    deadline = time.monotonic() + RUN_SECONDS_MAX
    armed = False
    text = b""
    with selectors.DefaultSelector() as reader:
        reader.register(process.stderr, selectors.EVENT_READ)
        while reader.select(max(0.0, deadline - time.monotonic())):
            chunk = os.read(process.stderr.fileno(), CHUNK_BYTES)
            if not chunk:
                # It has come to its end, but for its exit code.
                process.wait(RUN_SECONDS_MAX)
                return text
            text += chunk
            if moment is not None and not armed and text.count(b"maestro.event") >= moment.events:
                armed = True
                deadline = time.monotonic() + moment.extra_seconds
    process.kill()
    return text + process.stderr.read()
