"""A runtime on trial: virtual time, a scripted engine, and crashes that cost no process."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pykka

from maestro_actors.kernel import VirtualClock
from maestro_actors.team import Team
from maestro_runtime.errors import ActorFailed, RuntimeStopped
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.reports.session import SessionReport, session_report, waits_for_text
from maestro_runtime.runtime import Runtime, open_runtime
from maestro_runtime.session import Session, SessionOrder
from maestro_runtime.testing._stillness import Moves, Stillness
from maestro_runtime.testing.deaths import Death, When
from maestro_runtime.testing.errors import NeverStill, NothingMoves, RuntimeDied
from maestro_runtime.testing.scripted import BOUND_SECONDS, ScriptedEngine, Step
from maestro_storage import StoreOptions
from maestro_storage.errors import StorageError
from maestro_storage.records import SESSION_FINAL, TASK_FINAL, EventRecord

START_MS: Final = 1_700_000_000_000
"""Wall clock when a trial begins, in milliseconds since the epoch."""

SESSION: Final = "s-1"
"""The session that methods are about if none is named."""

MAP_BYTES: Final = 1 << 28
ALARMS_MAX: Final = 10_000
"""So many alarms ring while a session is brought to its end, before that is given up."""

_AT_REST: Final = (*SESSION_FINAL, "help_needed", "paused")


class TrialRuntime:
    """A real runtime on a real store, in which only time and the engine `scripted` are replaced.

    Time stands still, but for `finish`, `run` and `pass_time`. Methods are about session `s-1` if
    they are given no other.
    """

    def __init__(self, directory: Path, options: RuntimeOptions | None = None) -> None:
        """Open a runtime in a directory.

        Args:
            directory: Has the state (`state`), and the workspace of each session, by its name.
            options: As of `open_runtime`; clock and observer are those of the trial.
        """
        self.directory: Final = directory
        self.engine: Final = ScriptedEngine()
        self._options = options or RuntimeOptions(
            store=StoreOptions(map_bytes=MAP_BYTES), stop_grace_seconds=BOUND_SECONDS
        )
        self._moves = Moves()
        self.engine.on_move = self._moves.note
        self._open(START_MS)

    def _open(self, now_ms: int) -> None:
        self.clock = VirtualClock(now_ms)
        self.death = Death(self._moves.note)
        self.runtime: Runtime = open_runtime(
            self.directory / "state",
            replace(
                self._options,
                clock=self.clock,
                observer=self.death,
                engines=(self.engine, *self._options.engines),
            ),
        )
        self._stillness = Stillness(self.runtime, self.engine, self.death, self._moves)

    def start(self, team: Team, session_id: str = SESSION, **order: Any) -> Session:
        """Start a session in a workspace of its name, or take it up; return at once.

        `order` are further fields of `SessionOrder`. Raises as `Runtime.run`.
        """
        workspace = self.directory / session_id
        return self.runtime.run(SessionOrder(team, session_id, workspace, **order))

    def run(self, team: Team, session_id: str = SESSION, **order: Any) -> SessionReport:
        """Start a session, or take it up, and bring it to its end; as `start` and `finish`."""
        self.start(team, session_id, **order)
        return self.finish(session_id)

    def finish(self, session_id: str = SESSION) -> SessionReport:
        """Let time pass, from alarm to alarm, until the session is at rest; return its report.

        It is at rest when it has ended, is paused, or needs a person.

        Raises:
            NothingMoves: It is not, and there is no alarm left: most likely its calls are held.
            NeverStill: It is not after 10,000 alarms, or 20 seconds of real time without rest.
            RuntimeDied: The runtime has died on the way.
        """
        for _ in range(ALARMS_MAX):
            self.rest()
            report = self.report(session_id)
            if report.state in _AT_REST:
                return report
            if not self.clock.advance_to_next():
                raise NothingMoves(session_id, tuple(self._waits(session_id)))
        raise NeverStill(self.clock.monotonic())

    def rest(self) -> None:
        """Wait until nothing moves any more, but for calls that are held; time stands still.

        Raises:
            NeverStill: Something still moves after 20 seconds.
            RuntimeDied: The runtime has died on the way.
        """
        self._stillness.wait()

    def pass_time(self, seconds: float) -> None:
        """Let virtual time pass, alarm by alarm, and come to rest after each of them."""
        self.rest()
        target_ms = self.clock.now_ms() + round(seconds * 1000)
        while (left_ms := target_ms - self.clock.now_ms()) > 0:
            if not self.clock.advance_to_next(target_ms):
                self.clock.advance(left_ms / 1000)
            self.rest()

    def report(self, session_id: str = SESSION) -> SessionReport:
        """Return where a session stands, as far as it is durable."""
        return session_report(self.runtime.store, session_id)

    def events(self, session_id: str = SESSION) -> list[EventRecord]:
        """Return the history of a session, oldest first."""
        return list(self.runtime.store.events.scan(session_id))

    def survives(self, deed: Callable[[], object]) -> bool:
        """Do something; False if an armed death came in the middle of it."""
        try:
            deed()
        except (RuntimeDied, StorageError, ActorFailed, RuntimeStopped, pykka.ActorDeadError):
            if not self.death.has_come:
                raise
        return not self.death.has_come

    def crashes_at(self, commits: int, deed: Callable[[], object], when: When = "before") -> bool:
        """Do something and die at a commit by the way; then start again on what was durable.

        Args:
            commits: From now, 1 being the next one.
            deed: What is done, most likely `run`.
            when: See `When`.

        Returns:
            Whether it came to that commit. If not, the same runtime goes on.
        """
        self.death.arm(commits, when)
        if self.survives(deed):
            self.death.disarm()
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """Die now, if that has not happened, and start again on what was durable.

        Sessions go on once they are started or resumed. Calls in flight are gone, and the engine
        remembers what it was asked.
        """
        self.kill()
        self._open(self.clock.now_ms())

    def kill(self) -> None:
        """Die now: nothing that is not durable is left, and nobody hears of anything any more."""
        if not self.death.has_come:
            self.death.arm(1)
            self.survives(lambda: self.runtime.store.journal.settle(BOUND_SECONDS))
        # When its thread has ended the runtime knows, and does not wait for calls in flight.
        self.runtime.store.journal.close()
        self.close()

    def close(self) -> None:
        """Stop the runtime in good order; calls that are held are stopped, also deaf ones."""
        self.engine.stop()
        self.runtime.close()

    def _waits(self, session_id: str) -> Iterator[str]:
        for task in self.runtime.store.tasks.scan(session_id):
            if task.state not in TASK_FINAL:
                yield f"task {task.task_id!r} waits for {waits_for_text(task)}"


@contextlib.contextmanager
def open_trial(
    directory: Path | None = None,
    *,
    otherwise: Step | None = None,
    options: RuntimeOptions | None = None,
) -> Iterator[TrialRuntime]:
    """Lend a runtime on trial, which is closed at the end.

    Args:
        directory: Where it keeps everything, most likely `tmp_path`; None: a temporary directory.
        otherwise: What calls do that nothing is said about; None: they end well.
        options: See `TrialRuntime`.
    """
    with contextlib.ExitStack() as stack:
        place = directory or Path(stack.enter_context(TemporaryDirectory(prefix="maestro-trial-")))
        trial = TrialRuntime(place, options)
        stack.callback(lambda: trial.close())  # noqa: PLW0108
        if otherwise is not None:
            trial.engine.otherwise = otherwise
        yield trial
