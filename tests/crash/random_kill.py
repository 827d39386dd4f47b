"""SIGKILL: kill a run at random moments, resume it, and check the invariants."""

import random
import selectors
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from command_line import CommandLine
from crash_team import engine_runs, write_team
from invariants import Observed, check_end, check_state, done_tasks
from maestro_runtime.cli._progress import EventLine

SESSION = "victim"
EVENTS = 20
"""About as many as an unharmed run prints."""
EXTRA_SECONDS_MAX = 0.02
"""About as long as an attempt takes."""
RUN_SECONDS_MAX = 40.0


@dataclass(frozen=True)
class Moment:
    """When a process is killed."""

    events: int
    """Events it has printed before."""
    extra_seconds: float
    """How long it lives on after the last of them."""


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Run one team with up to three kills, then to its end; count the kills."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    cli = CommandLine(directory)
    team = write_team(directory)
    observed = Observed()
    done: frozenset[str] = frozenset()
    kills = 0
    for _ in range(chance.randint(1, 3)):
        moment = Moment(chance.randint(1, EVENTS), chance.random() * EXTRA_SECONDS_MAX)
        killed = _run_and_kill(cli, team, moment, observed)
        kills += killed
        observed.runs = engine_runs(directory)
        check_state(cli.state_dir, SESSION, observed)
        done |= done_tasks(cli.state_dir, SESSION)
        if not killed:
            break
    _run_and_kill(cli, team, None, observed)
    observed.runs = engine_runs(directory)
    check_end(cli.state_dir, SESSION, observed, done)
    return Counter(kills=kills)


def _run_and_kill(cli: CommandLine, team: Path, moment: Moment | None, observed: Observed) -> bool:
    """Run the team, killing it at a moment, or not at all; True if it was killed.

    What the process prints is recorded here, outside of it: an event is printed only once it is
    durable.
    """
    with cli.start("run", team, "--session", SESSION, "--json") as process:
        reader = selectors.DefaultSelector()
        if process.stderr is None:
            raise RuntimeError("the process has no stderr")
        reader.register(process.stderr, selectors.EVENT_READ)
        deadline = time.monotonic() + RUN_SECONDS_MAX
        armed = False
        text = b""
        while True:
            if not reader.select(max(0.0, deadline - time.monotonic())):
                break
            chunk = process.stderr.buffer.read1()  # type: ignore[attr-defined] # a text pipe has it
            if not chunk:
                break
            text += chunk
            if moment is not None and not armed and text.count(b"maestro.event") >= moment.events:
                armed = True
                deadline = time.monotonic() + moment.extra_seconds
        process.kill()
        text += process.stderr.buffer.read()  # type: ignore[attr-defined] # as above
        process.wait()
    for line in text.splitlines(keepends=True):
        if line.startswith(b"{") and line.endswith(b"\n"):
            observed.acknowledged.append(msgspec.json.decode(line, type=EventLine))
    if process.returncode not in (0, -9):
        raise subprocess.CalledProcessError(process.returncode, cli.argv("run"), stderr=text)
    if moment is None and process.returncode != 0:
        raise TimeoutError(f"the run did not end within {RUN_SECONDS_MAX} s")
    return process.returncode == -9
