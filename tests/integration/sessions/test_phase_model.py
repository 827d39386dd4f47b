"""Random phases of random DAGs, asked for at random, through kills and stops: held to a model.

Real actors, a real store and the real planner; only time and the engines are replaced. After each
step the system is let come to rest. Whatever was asked for: no phase before its predecessors,
nothing twice, nothing that was not asked for, and a session at rest has nothing left to do.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, assert_never

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from maestro_actors.accounting.token_accountant import TokenAccountant
from maestro_actors.circuit_breaker import CircuitBreaker
from maestro_actors.errors import PhaseConflict, PhaseNotReady
from maestro_actors.identity import ACCOUNTANT_ADDRESS, breaker_address
from maestro_actors.kernel import ActorDump, VirtualClock
from maestro_actors.team import BreakerPolicy, Phase, Team
from maestro_actors.verbs.wish import Asked, wished
from maestro_runtime.running.sessions import RunningSessions
from maestro_runtime.verbs._planner import Planner
from maestro_storage.plan import Stretch
from maestro_storage.records import SessionRecord
from phase_teams import PATIENT, phase_teams
from session_play import MortalJournal
from staging import BOUND_SECONDS, SESSION, contract, open_stage, team

ROUNDS_MAX: Final = 1_000
ENDS: Final = ("session_done", "session_paused")


@dataclass(frozen=True)
class Ask:
    """Ask for phases, by their places."""

    places: frozenset[int]


@dataclass(frozen=True)
class Resume:
    """Resume what is left; with places, by a plan of these phases one by one."""

    places: tuple[int, ...]


@dataclass(frozen=True)
class Finish:
    """Let one of the calls in flight end."""

    place: int


@dataclass(frozen=True)
class Take:
    """Take a checkpoint on demand."""


@dataclass(frozen=True)
class Crash:
    """Kill the process and start another one."""


Step = Ask | Resume | Finish | Take | Crash


class Play:
    """One session of a random DAG, and what has been asked for."""

    def __init__(self, directory: Path, wanted: Team) -> None:
        self._directory = directory
        self._team = wanted
        self._after = {phase.name: set(phase.after) for phase in wanted.phases}
        self._names = tuple(self._after)
        self._clock = VirtualClock(1_000_000)
        self.asked: set[str] = set()
        """Whatever may run."""
        self._open()
        self._stage.create(wanted)

    def _open(self) -> None:
        stage = self._stage = open_stage(self._directory / "state", self._clock)
        stage.engines.held = True
        self._journal = MortalJournal(stage.ports.journal)
        stage.ports = replace(stage.ports, journal=self._journal)
        stage.system.spawn(TokenAccountant, stage.ports, address=ACCOUNTANT_ADDRESS)
        policy = BreakerPolicy()
        address = breaker_address("scripted")
        stage.system.spawn(CircuitBreaker, stage.ports, "scripted", policy, address=address)
        self._running = RunningSessions(
            stage.system, policy, BOUND_SECONDS, stage.store.journal.settle, lambda _: None
        )
        self._planner = Planner(stage.store, self._running, stage.ports)
        self._claimed: set[str] | None = set()
        """By calls of this process that have not ended; None: all, by a run of the session."""
        self._finished = 0
        self._heard = 0

    def close(self) -> None:
        self._stage.close()

    @property
    def record(self) -> SessionRecord:
        return self._stage.store.require_session(SESSION)

    def recorded(self) -> list[str]:
        rows = self._stage.store.checkpoints.scan(SESSION)
        return [row.phase for row in rows if not row.on_demand and row.phase != "init"]

    def take(self, step: Step) -> None:
        match step:
            case Ask():
                self._ask({self._names[place % len(self._names)] for place in step.places})
            case Resume():
                self._resume(step.places)
            case Finish():
                self._finish(step.place)
            case Take():
                self._planner.checkpoint(self.record, "taken")
            case Crash():
                self._stage.close()
                self._open()
            case _:
                assert_never(step)
        self._rest()
        self.check()

    def _ask(self, phases: set[str]) -> None:
        live = self._running.live(SESSION) is not None
        left = phases - set(self.recorded())
        plan = self.record.plan
        current = (set(plan[0].phases) if plan else set(self._names)) if live else self._begun()
        taken = (current if self._claimed is None else self._claimed) - set(self.recorded())
        refused: PhaseConflict | PhaseNotReady | None = None
        try:
            self._planner.run_phases(self.record, tuple(sorted(phases)))
        except (PhaseConflict, PhaseNotReady) as error:
            refused = error
        if isinstance(refused, PhaseConflict):
            assert live
            assert refused.phase in taken & left, f"{refused}, but nobody runs it"
        elif refused is not None:
            reached = set(self.recorded()) | left | current
            assert refused.phase in left
            assert set(refused.missing) == self._after[refused.phase] - reached
        else:
            assert not (live and taken & left), f"{taken & left} runs for two callers"
            self.asked |= left
            if not live:
                self._claimed = set()
            if self._claimed is not None:
                self._claimed |= left

    def _begun(self) -> set[str]:
        """Return the phases that a crash has cut short: they go on with whatever is asked for."""
        tasks = self._stage.store.tasks.scan(SESSION)
        return {task.phase for task in tasks if task.state in ("running", "waiting")}

    def _resume(self, places: tuple[int, ...]) -> None:
        live = self._running.live(SESSION) is not None
        if live or self.record.state == "done":
            return
        names = tuple(dict.fromkeys(self._names[place % len(self._names)] for place in places))
        plan = tuple(Stretch((name,)) for name in names) or None
        reached = set(self.recorded())
        keeps = True
        for name in names:
            keeps = keeps and (name in reached or self._after[name] <= reached)
            reached.add(name)
        if not keeps:
            with pytest.raises(PhaseNotReady):
                self._planner.resumed(self.record, plan or ())
        elif plan is None or self._planner.resumed(self.record, plan):
            if plan is None and self.record.state == "paused":
                wish = Asked(wish="run")
                _, draft = wished(self.record, wish, self._clock.now_ms(), self._stage.store.epoch)
                self._stage.store.journal.commit(draft).result(BOUND_SECONDS)
            self.asked |= set(names) if names else set(self._planned())
            self._running.start(self._stage.ports, SESSION, self._team)
            self._claimed = None

    def _planned(self) -> Iterator[str]:
        plan = self.record.plan
        return (name for stretch in plan for name in stretch.phases) if plan else iter(self._names)

    def _finish(self, place: int) -> None:
        left = self._stage.engines.started[self._finished :]
        if left:
            order = left[place % len(left)]
            self._stage.engines.started.remove(order)
            self._stage.engines.started.insert(self._finished, order)
            self._finished += 1
            self._stage.engines.finish(order.call_id)

    def _rest(self) -> None:
        """Wait until nothing is under way: all actors idle, and all they handed in delivered."""
        for _ in range(ROUNDS_MAX):
            appended = self._journal.appended
            self._stage.store.journal.settle(BOUND_SECONDS)
            if self._idle(appended):
                break
        else:
            raise AssertionError("the system does not come to rest")
        assert self._stage.escalations == []
        for event in self._stage.events[self._heard :]:
            self._heard += 1
            if event.kind in ENDS:
                self._running.end(SESSION)

    def _idle(self, appended: int) -> bool:
        """Look at all actors at once, on their own lane, between two turns."""
        seen: Future[tuple[list[ActorDump], int]] = Future()
        self._stage.lane.call_soon(
            lambda: seen.set_result((self._stage.system.dump_actors(), self._journal.appended))
        )
        actors, appended_by_now = seen.result(BOUND_SECONDS)
        return appended == appended_by_now and all(actor.state == "idle" for actor in actors)

    def check(self) -> None:
        phase_of = {item.id: item.phase for item in self._team.contracts}
        over: list[str] = []
        counts: Counter[tuple[str, str]] = Counter()
        for place, event in enumerate(self._stage.store.events.scan(SESSION), 1):
            assert event.sequence == place
            if event.kind == "phase_finished":
                over.append(str(event.data["phase"]))
            if event.kind == "attempt_started":
                phase = phase_of[event.task_id]
                assert self._after[phase] <= set(over), f"{phase} before its predecessors"
                assert phase in self.asked, f"nobody asked for {phase}"
                assert counts["task_done", event.task_id] == 0, f"{event.task_id} again"
            counts[event.kind, event.task_id] += 1
        assert len(over) == len(set(over))
        assert over == self.recorded()
        record = self.record
        if record.state in ("done", "paused"):
            assert self._running.live(SESSION) is None
            assert (record.state == "done") == (set(over) == set(self._names))
            assert len(self._stage.engines.started) == self._finished, "a call outlives the stop"
        elif self._running.live(SESSION) is not None:
            assert len(self._stage.engines.started) > self._finished, "it runs, but what?"

    def play_out(self) -> None:
        """Ask for everything, and let all calls end: then the session is done."""
        for _ in range(ROUNDS_MAX):
            if self.record.state == "done":
                return
            if self._running.live(SESSION) is not None:
                self.take(Finish(0))
            else:
                self.take(Resume(()))
        raise AssertionError("the session does not come to its end")


THREE: Final = tuple(Phase(name=name) for name in "abc")
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Ask, places=st.frozensets(st.integers(0, 4), min_size=1, max_size=2)),
    st.builds(Finish, place=st.integers(0, 3)),
    st.builds(Finish, place=st.integers(0, 3)),
    st.builds(Resume, places=st.lists(st.integers(0, 4), max_size=3).map(tuple)),
    st.just(Take()),
    st.just(Crash()),
)


@settings(max_examples=40)
@given(wanted=phase_teams(), steps=st.lists(STEPS, min_size=2, max_size=14))
# What is done by the time of a crash is not planned again: nothing would ever end that.
@example(
    team(*(contract(name, phase=name) for name in "abc"), phases=THREE, retry=PATIENT),
    [Ask(frozenset({0, 1})), Finish(0), Crash(), Ask(frozenset({0, 1}))],
)
def test_phases_keep_their_order_and_their_plan_through_anything(
    wanted: Team, steps: list[Step]
) -> None:
    with (
        tempfile.TemporaryDirectory() as scratch,
        closing(Play(Path(scratch), wanted)) as play,
    ):
        for step in steps:
            play.take(step)
        play.play_out()
