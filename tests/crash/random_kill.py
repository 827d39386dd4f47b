"""SIGKILL: kill the command line at random moments, resume the run, and check the invariants.

While it runs, a person pauses, cancels or retries through its socket; what waits for a person is
answered between two runs, and some of the runs are forks of what there is. What the person is told
to be done has to be on record.
"""

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
from hand import Hand, Verb, told_in
from invariants import Observed, Task, check_over, check_state, done_tasks
from maestro_runtime.reports.session import SessionReport
from maestro_storage import Store
from maestro_storage.records import SESSION_FINAL
from observer import Told
from outside import SECRET, Outside, Seen, outside
from program import Program, billed, random_program

SESSION: Final = "victim"
EVENTS: Final = 30
"""About as many as an unharmed run prints."""
EXTRA_SECONDS_MAX: Final = 0.02
"""About as long as a few commits take."""
RUN_SECONDS_MAX: Final = 40.0
KILLS_MAX: Final = 4
FORKS_MAX: Final = 2
"""Of one program, forks of forks included."""
FORK_SHARE: Final = 1 / 3
"""How often a fork is made of what a kill, or a pause, has left."""
ATTEMPTS_MAX: Final = 6
"""One more than the kills and the failures of the engine that one task may meet in a row."""
ENDS: Final = frozenset({0, 1, 7, 8, 10})
"""Exit codes of a run that was not killed: all is well, a task has failed, for its budget too; a
task waits for a person, or the session is paused."""
RUNS_MAX: Final = 20
"""Of a session: each of its tasks is answered once, and each pause is taken back by another run."""
CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Moment:
    """When a process is killed."""

    events: int
    """Events it has printed before."""
    extra_seconds: float
    """How long it lives on after the last of them."""
    verb: Verb | None = None
    """What a person begins to do to it half-way through these events."""
    forks: bool = False
    """What is run is a fork of what there is, if there may be another one."""


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Run one program with up to three kills, then to its end; count the kills."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    program = random_program(seed, max_attempts=ATTEMPTS_MAX, max_rounds=2, asks=True)
    with outside(directory) as world:
        program.write(directory, billed(world.provider.socket))
        victim = Victim(directory, program, world, chance)
        kills = 0
        for _ in range(chance.randint(1, KILLS_MAX)):
            moment = Moment(
                chance.randint(1, EVENTS),
                chance.random() * EXTRA_SECONDS_MAX,
                chance.choice((None, "pause", "interrupt", "retry", "retry", "cancel")),
                forks=chance.random() < FORK_SHARE,
            )
            kills += victim.run(moment)
            victim.answer()
            if victim.has_ended:
                break
        victim.see_through()
        sessions = victim.check_over()
        program.check_end(sessions)
    return Counter(
        kills=kills,
        runs=1,
        forks=len(sessions) - 1,
        tasks=sum(map(len, sessions.values())),
        deeds=victim.deeds,
    )


class Victim:
    """Runs by the command line. What they print is read, and so kept, outside of them."""

    def __init__(
        self, directory: Path, program: Program, world: Outside, chance: random.Random
    ) -> None:
        self._cli = CommandLine(directory)
        self._cli.environment |= {
            "PYTHONPATH": str(forked.PLUGINS) + ":" + str(forked.PLUGINS.parent),
            "MAESTRO_TICKET_SINK": "webhook",
            "MAESTRO_WEBHOOK_URL": world.sink_url,
            "MAESTRO_WEBHOOK_SECRET": SECRET,
        }
        self._team = directory / "team.toml"
        self._program = program
        self._report = directory / "report.json"
        self._world = world
        self._chance = chance
        self._observed = Observed(attempts_max=ATTEMPTS_MAX)
        self._done: frozenset[Task] = frozenset()
        self._told: dict[str, Told] = {}
        """How each session has ended."""
        self._orders: dict[str, list[str]] = {
            SESSION: self._argv("run", self._team, "--session", SESSION)
        }
        """What begins each session, until it is there."""
        self.deeds = 0
        """What the person was told to be done."""

    @property
    def has_ended(self) -> bool:
        """Whether it has been told how each session has ended."""
        return self._orders.keys() == self._told.keys()

    def see_through(self) -> None:
        """Run, and answer, until all sessions have ended."""
        for _ in range(RUNS_MAX * len(self._orders)):
            if self.has_ended:
                return
            if self.run(None):
                raise TimeoutError(f"the run did not end within {RUN_SECONDS_MAX} s")
            self.answer()
        raise TimeoutError(f"the sessions did not end within {RUNS_MAX} runs each")

    def answer(self) -> None:
        """Answer all tasks that wait for a person, but for what is only left to be cancelled."""
        with Store.inspect(self._cli.state_dir) as store:
            waiting = [
                row
                for row in store.tasks.scan()
                if row.state == "help_needed"
                and store.require_session(row.session_id).wish != "cancel"
            ]
        for row in waiting:
            how = {"skip": "--skip", "give_up": "--give-up"}[self._program.answers[row.task_id]]
            answered = self._cli("help-needed", "answer", row.session_id, row.task_id, how)
            answered.check_returncode()
            self.deeds += 1

    def run(self, moment: Moment | None) -> bool:
        """Run one, killed at a moment or not at all, and check what is left; True if killed."""
        session_id, argv = self._next(forks=moment is not None and moment.forks)
        verb = None if moment is None else moment.verb
        hand = None if verb is None else Hand(self._cli.state_dir, session_id, verb)
        with (
            self._report.open("wb") as report,
            subprocess.Popen(
                argv, env=self._cli.environment, stdout=report, stderr=subprocess.PIPE
            ) as process,
        ):
            text = _read(process, moment, hand)
        self._observed.acknowledged += told_in(text)
        if hand:
            hand.end()
            self.deeds += hand.is_done
        killed = process.returncode == -signal.SIGKILL
        if not killed and (process.returncode not in ENDS or b"Traceback" in text):
            raise subprocess.CalledProcessError(process.returncode, argv, stderr=text)
        if not killed:
            self._hear(retried=bool(hand and hand.verb == "retry"))
        self._check()
        return killed

    def _next(self, *, forks: bool) -> tuple[str, list[str]]:
        """Choose a session that has not ended, or a fork; return it and the call that runs it."""
        there = self._there()
        if forks and there and len(self._orders) <= FORKS_MAX:
            self._fork(there)
        going = [name for name in self._orders if name not in self._told]
        session_id = going[-1] if forks else self._chance.choice(going)
        if session_id in there:
            # By its name it goes on even if it was paused.
            return session_id, self._argv("session", "resume", session_id)
        return session_id, self._orders[session_id]

    def _there(self) -> dict[str, list[int]]:
        """Return the sessions on record, with the numbers of their checkpoints."""
        if not (self._cli.state_dir / "data").exists():
            return {}
        with Store.inspect(self._cli.state_dir) as store:
            names = [record.session_id for record in store.sessions.scan()]
            return {name: [row.number for row in store.checkpoints.scan(name)] for name in names}

    def _fork(self, there: dict[str, list[int]]) -> None:
        """Want a fork from one of the checkpoints.

        The name says which it is, so that the same one is made again where a kill has left files of
        it without a session.
        """
        origin = self._chance.choice(list(there))
        # The last one keeps most.
        number = self._chance.choice((there[origin][-1], self._chance.choice(there[origin])))
        name = f"{origin}-{number}"
        output = self._cli.directory / name
        call = ("fork", origin, "--from", number, "--id", name, "--output", output)
        self._orders.setdefault(name, self._argv("session", *call))

    def _argv(self, *arguments: object) -> list[str]:
        return self._cli.argv(*arguments, "--json")

    def _hear(self, *, retried: bool) -> None:
        """Take the report of a run for the last word, unless somebody has had it try again."""
        report = msgspec.json.decode(self._report.read_bytes(), type=SessionReport)
        if report.state in SESSION_FINAL and not retried:
            self._told[report.session_id] = Told.of(report)

    def _check(self) -> None:
        """Check what a run has left."""
        seen = self._look()
        self._observed.runs = seen.runs
        check_state(self._cli.state_dir, self._observed)
        check_dealings(self._cli.state_dir, seen)
        self._done |= done_tasks(self._cli.state_dir)

    def check_over(self) -> dict[str, dict[str, str]]:
        """Check the sessions, which have ended; return the state of each task of each."""
        check_all_settled(self._cli.state_dir, self._look())
        return check_over(self._cli.state_dir, self._observed, self._done)

    def _look(self) -> Seen:
        """Return what the world has seen, of which the last word of each run is part."""
        seen = self._world.look()
        seen.told.extend(self._told.values())
        return seen


def _read(process: "subprocess.Popen[bytes]", moment: Moment | None, hand: Hand | None) -> bytes:
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
            events = text.count(b"maestro.event")
            if moment and hand and not hand.has_begun and events >= moment.events // 2:
                hand.begin(told_in(text))
            if moment is not None and not armed and events >= moment.events:
                armed = True
                deadline = time.monotonic() + moment.extra_seconds
    process.kill()
    return text + process.stderr.read()
