"""Sessions whose engine does nothing, on a real state directory with real fsync."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maestro_actors.team import BreakerPolicy, Contract, Persona, Phase, RetryPolicy, Team
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder, open_runtime
from maestro_storage.records import EventRecord

HERE = str(Path(__file__).parent)

NEVER = BreakerPolicy(failures_max=1 << 30)
"""For engines that fail on purpose."""


def team_of(count: int, workers: int, work: str = "work", retry: RetryPolicy | None = None) -> Team:
    """Return a team of one persona with `count` contracts that owe nothing."""
    return Team(
        name="bench",
        requirement="nothing",
        personas={
            "dev": Persona(
                persona_id="dev",
                engine="python",
                callable=f"noop_engine:{work}",
                import_dir=HERE,
                token_budget=1 << 40,
                retry=retry or RetryPolicy(),
            )
        },
        phases=(Phase(name="only"),),
        contracts=tuple(
            Contract(id=f"c{place:05d}", name="c", phase="only", provider_persona_id="dev")
            for place in range(count)
        ),
        max_parallel_workers=workers,
    )


class NoopSessions:
    """Runs one session after the other in one runtime."""

    def __init__(self, runtime: Runtime, directory: Path) -> None:
        self.runtime = runtime
        self._directory = directory
        self._numbers = itertools.count()
        self._ended_at: dict[str, list[float]] = {}
        runtime.subscribe(self._heard)

    def run(self, team: Team, *, expect: str = "done") -> tuple[float, list[float]]:
        """Run a session to its end.

        Returns:
            The seconds it took, from the order until the last attempt was durably closed, and the
            instants at which they were.
        """
        session_id = f"s{next(self._numbers)}"
        ended_at = self._ended_at[session_id] = []
        before = time.perf_counter()
        order = SessionOrder(team, session_id, self._directory / session_id)
        report = self.runtime.run(order).result()
        seconds = ended_at[-1] - before
        if report.state != expect:
            raise RuntimeError(f"the session ended {report.state}: {report.error}")
        return seconds, ended_at

    def _heard(self, event: EventRecord) -> None:
        if event.kind in ("attempt_succeeded", "attempt_failed"):
            self._ended_at[event.session_id].append(time.perf_counter())


@contextmanager
def noop_sessions(directory: Path) -> Iterator[NoopSessions]:
    """Open a runtime on a fresh state below `directory`."""
    with open_runtime(directory / "state", RuntimeOptions(breaker=NEVER)) as runtime:
        yield NoopSessions(runtime, directory)
