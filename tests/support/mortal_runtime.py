"""A real runtime that dies at a commit: only time and engines are replaced, and a test says when.

What the store had not made durable by then is lost, and nobody hears of anything any more: for
whoever opens the state next, that is a killed process.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import msgspec
import pykka

from maestro_actors.engine import Artifact, CallOrder, Outcome
from maestro_actors.kernel import ActorDump, VirtualClock
from maestro_runtime import RuntimeOptions, open_runtime
from maestro_runtime.errors import ActorFailed, RuntimeStopped
from maestro_storage import StoreOptions
from maestro_storage.errors import StorageError
from staging import BOUND_SECONDS, OK, ScriptedEngines

ROUNDS_MAX: Final = 1_000
PERMANENT: Final = Outcome(failure="permanent", evidence=("scripted",))

When = Literal["before", "after"]


class Killed(Exception):
    """Ends the journal, and with it all that the process could still do."""


class Death:
    """Comes at a commit, before or after it; until then it counts them."""

    def __init__(self) -> None:
        self.commits = 0
        self.dead = False
        self._due: tuple[When, int] | None = None

    def arm(self, when: When, commits: int) -> None:
        """Come so many commits from now, 1 being the next one."""
        self._due = (when, self.commits + commits)

    def before_commit(self, number: int) -> None:
        """See `CommitObserver.before_commit`."""
        self._strike("before", number)

    def after_commit(self, number: int) -> None:
        """See `CommitObserver.after_commit`."""
        self.commits = number
        self._strike("after", number)

    def _strike(self, when: When, number: int) -> None:
        if self._due == (when, number):
            self.dead = True
            raise Killed


class FilingEngines(ScriptedEngines):
    """Engines whose calls end when a test says so, and leave the file that their contract owes."""

    @property
    def in_flight(self) -> list[CallOrder]:
        """Calls that have not ended, in the order they were started."""
        return [order for order, _ in self._in_flight.values()]

    def deliver(self, order: CallOrder) -> None:
        """Let a call end well. The content is always the same: a file has one version."""
        path, content = f"{order.task_id}.md", order.task_id.encode()
        Path(order.workspace, path).write_bytes(content)
        artifact = Artifact(
            path=path,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            changed=True,
        )
        self.finish(order.call_id, msgspec.structs.replace(OK, artifacts=(artifact,)))


class MortalRuntime:
    """One process over a state directory. It is told to die, and then closed."""

    def __init__(self, state_dir: Path) -> None:
        self.clock: Final = VirtualClock(1_000_000)
        """Time stands still: nothing that waits for it is meant to happen."""
        self.death: Final = Death()
        self.runtime: Final = open_runtime(
            state_dir,
            RuntimeOptions(
                clock=self.clock, observer=self.death, store=StoreOptions(map_bytes=1 << 28)
            ),
        )
        self.engines: Final = FilingEngines(self.runtime.system)
        self.engines.held = True
        # No session runs yet: each will be given these.
        ports = replace(vars(self.runtime)["_ports"], engines=self.engines)
        for starter in (self.runtime, vars(self.runtime)["_planner"]):
            vars(starter)["_ports"] = ports

    def survived(self, deed: Callable[[], object]) -> bool:
        """Do something; False if death came in the middle of it."""
        try:
            deed()
        except (StorageError, ActorFailed, RuntimeStopped, pykka.ActorDeadError):
            if not self.death.dead:
                raise
        return not self.death.dead

    def rest(self) -> bool:
        """Wait until nothing moves any more; False if it has died on the way.

        Whoever is idle moves only when something is delivered, which a commit comes before.
        """
        journal = self.runtime.store.journal
        quiet_since = -1
        for _ in range(ROUNDS_MAX):
            if not self.survived(lambda: journal.settle(BOUND_SECONDS)):
                return False
            commits = self.death.commits
            if not self._idle():
                quiet_since = -1
            elif commits == quiet_since + 1 and self._delivered():
                # Since the look before there was no commit but the one that was waited for.
                return True
            else:
                quiet_since = commits
        raise AssertionError("the runtime does not come to rest")

    def kill(self) -> None:
        """Die now, unless that has happened, and leave."""
        if not self.death.dead:
            self.death.arm("before", 1)
            assert not self.survived(lambda: self.runtime.store.journal.settle(BOUND_SECONDS))
        # When its thread has ended the runtime knows, and does not wait for calls in flight.
        self.runtime.store.journal.close()
        self.runtime.close()

    def _idle(self) -> bool:
        """Look at all actors at once, on their own lane, between two turns."""
        seen: Future[list[ActorDump]] = Future()
        system, lane = self.runtime.system, vars(self.runtime)["_lane"]
        lane.call_soon(lambda: seen.set_result(system.dump_actors()))
        return all(actor.state == "idle" for actor in seen.result(BOUND_SECONDS))

    def _delivered(self) -> bool:
        """Whether all tickets have reached their sink, which has a thread of its own."""
        return all(row.state == "done" for row in self.runtime.store.outbox.scan())
