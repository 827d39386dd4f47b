"""Sessions of random teams, played to their end through random failures and crashes.

Every program runs on real actors and a real store; only time and the engines are replaced. After
each step the system is let come to rest, and its history and records are held against an oracle
(`session_model`). A run of the suite plays a few programs; a campaign plays more, for instance

    MAESTRO_MODEL_PROGRAMS=20000 TMPDIR=/dev/shm pytest --timeout 0 tests/integration/sessions

and a failure prints a small program, which becomes an `@example` once its cause is found.
"""

import os
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st

from maestro_actors.team import Contract, Deliverable, Persona, Phase, RetryPolicy, Team
from session_play import Play
from session_steps import (
    OUTCOMES,
    Bug,
    Cancel,
    Crash,
    CrashAfter,
    Deaf,
    Doom,
    Fall,
    Finish,
    NextTimer,
    Outage,
    Pass,
    Pause,
    Rerun,
    Resume,
    Retry,
    Step,
    Stop,
)

T = TypeVar("T")

PROGRAMS: Final = int(os.environ.get("MAESTRO_MODEL_PROGRAMS", "40"))


@dataclass(frozen=True)
class Who:
    """A persona, in short."""

    engine: str = "alpha"
    budget_tokens: int = 10_000
    attempts: int = 2
    rounds: int = 2
    backoff_seconds: float = 1.0
    round_backoff_seconds: tuple[float, ...] = (5.0,)
    gives_up: bool = True

    def persona(self, persona_id: str) -> Persona:
        retry = RetryPolicy(
            max_attempts=self.attempts,
            max_rounds=self.rounds,
            backoff_seconds=self.backoff_seconds,
            round_backoff_seconds=self.round_backoff_seconds,
        )
        return Persona(
            persona_id=persona_id,
            engine=self.engine,
            retry=retry,
            token_budget=self.budget_tokens,
            give_up_on_failure=self.gives_up,
        )


@dataclass(frozen=True)
class Work:
    """A contract, in short: its phase, its persona, and what it comes after, by their places."""

    phase: int = 0
    persona: int = 0
    after: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Plan:
    """A team, in short. A place that does not exist, or not before, stands for another, or none."""

    personas: tuple[Who, ...] = (Who(),)
    phases: tuple[frozenset[int], ...] = (frozenset(),)
    """What each phase comes after."""
    work: tuple[Work, ...] = (Work(),)
    workers: int = 1
    backwards: bool = False
    """Whether the team names its phases and contracts from the last to the first."""

    def team(self) -> Team:
        phases = [
            Phase(name=f"p{place}", after=tuple(f"p{i}" for i in sorted(after) if i < place))
            for place, after in enumerate(self.phases)
        ]
        contracts = [self._contract(place, work) for place, work in enumerate(self.work)]
        order = -1 if self.backwards else 1
        return Team(
            name="t",
            requirement="r",
            personas={f"who{i}": who.persona(f"who{i}") for i, who in enumerate(self.personas)},
            phases=tuple(phases[::order]),
            contracts=tuple(contracts[::order]),
            max_parallel_workers=self.workers,
        )

    def _contract(self, place: int, work: Work) -> Contract:
        phase = work.phase % len(self.phases)
        before = [
            i for i in sorted(work.after) if i < place and self._phase(i) == self._phase(place)
        ]
        return Contract(
            id=f"c{place}",
            name=f"c{place}",
            phase=f"p{phase}",
            provider_persona_id=f"who{work.persona % len(self.personas)}",
            after=tuple(f"c{i}" for i in before),
            deliverables=(Deliverable(name="file", artifacts=("*.md",)),),
        )

    def _phase(self, place: int) -> int:
        return self.work[place].phase % len(self.phases)


def tuples_of(element: st.SearchStrategy[T], size_max: int) -> st.SearchStrategy[tuple[T, ...]]:
    """Draw the size first: lists left to themselves are mostly short."""
    sizes = st.integers(1, size_max).map(lambda size: size_max + 1 - size)
    return sizes.flatmap(lambda size: st.tuples(*[element] * size))


WHO = st.builds(
    Who,
    engine=st.sampled_from(["alpha"] * 3 + ["beta"]),
    budget_tokens=st.sampled_from([10_000] * 4 + [400, 250, 150, 90]),
    attempts=st.sampled_from([3, 3, 2, 1]),
    rounds=st.sampled_from([2, 2, 1]),
    backoff_seconds=st.sampled_from([1.0, 0.0, 4.0]),
    round_backoff_seconds=st.sampled_from([(5.0,), (), (0.0, 20.0)]),
    gives_up=st.booleans(),
)
WORK = st.builds(
    Work,
    phase=st.integers(0, 2),
    persona=st.integers(0, 2),
    after=st.frozensets(st.integers(0, 11), max_size=2),
)
PLANS: st.SearchStrategy[Plan] = st.builds(
    Plan,
    personas=tuples_of(WHO, 3),
    phases=tuples_of(st.frozensets(st.integers(0, 1)), 3),
    work=tuples_of(WORK, 6),
    workers=st.integers(1, 4),
    backwards=st.booleans(),
)
RECOVERED = st.none() | st.sampled_from([0, 30, 300])
STEP: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        Finish,
        place=st.integers(0, 3),
        ending=st.sampled_from(list(OUTCOMES)),
        tokens=st.sampled_from([50, 0, 100, 300]),
    ),
    st.builds(Outage, calls=st.integers(1, 6)),
    st.just(NextTimer()),
    st.builds(Pass, seconds=st.sampled_from([0.5, 3.0, 31.0, 400.0])),
    st.builds(Crash, recovered_tokens=RECOVERED, seconds=st.sampled_from([0.0, 2.0, 31.0])),
    st.builds(CrashAfter, transitions=st.integers(0, 6), recovered_tokens=RECOVERED),
    st.builds(Bug, place=st.integers(0, 5), transitions=st.integers(0, 4)),
    st.builds(Doom, place=st.integers(0, 5)),
    st.builds(Fall, transitions=st.integers(0, 6)),
    st.just(Stop()),
    st.builds(Pause, interrupt=st.booleans()),
    st.just(Resume()),
    st.builds(Retry, place=st.integers(0, 3)),
    st.builds(Rerun, place=st.integers(0, 2), interrupt=st.booleans()),
    st.just(Deaf()),
    st.builds(Cancel, seconds=st.sampled_from([0.0, 3.0, 400.0])),
)
# Four short lists make a longer one that still shrinks step by step.
STEPS: st.SearchStrategy[list[Step]] = st.lists(st.lists(STEP, max_size=8), max_size=10).map(
    lambda parts: [step for part in parts for step in part]
)

SIX = (Work(),) * 6
LAST_TRY = Plan(personas=(Who(attempts=1, rounds=1),), work=SIX[:2], workers=2)
PROBE_PARKED = Plan(
    personas=(Who(budget_tokens=150), Who(attempts=3)),
    work=(Work(), *(Work(persona=1),) * 6, Work(after=frozenset({1}))),
    workers=8,
)


@settings(
    max_examples=PROGRAMS,
    print_blob=True,
)
@given(plan=PLANS, steps=STEPS)
# A persona that cannot be kept alive: with its call in flight, in its pause, in a crash.
@example(Plan(work=SIX, workers=2), [Doom(0), Finish(0, "ok", 50), Doom(3), NextTimer()])
@example(Plan(work=SIX, workers=2), [Finish(0, "transient", 50), Doom(0), Crash(30, 0.0)])
@example(Plan(work=SIX, workers=2), [Doom(0), CrashAfter(1, 30), NextTimer()])
@example(Plan(work=SIX, workers=2), [Outage(5), Doom(0), Doom(5), Pass(31.0)])
# A coordinator that fails: with calls in flight, at the end, in a cancel, with a probe.
@example(Plan(work=SIX, workers=2), [Fall(0), Finish(0, "ok", 50), Fall(2), Finish(1, "ok", 50)])
@example(Plan(work=SIX[:1]), [Fall(3), Finish(0, "ok", 50)])
@example(LAST_TRY, [Fall(0), Cancel(3.0), Crash(None, 0.0)])
@example(Plan(work=SIX, workers=2), [Outage(5), Fall(1), Pass(31.0), Fall(2), Outage(1)])
# A probe that fails, but not by the engine's fault: its task's own pause is kept.
@example(Plan(work=SIX), [Outage(6), Pass(400.0), Finish(0, "transient", 50)])
# Tasks that waited for the breaker before a crash hear of its closing after it.
@example(
    Plan(work=SIX, workers=2),
    [Outage(5), Finish(0, "ok", 50), Outage(1), *[NextTimer()] * 3, Crash(None, 0.0)],
)
# A task that waited for tokens before a crash asks for them after it.
@example(Plan(personas=(Who(budget_tokens=150),), work=SIX[:2], workers=2), [Crash(0, 0.0)])
# Room is kept for one that was woken and waits for a slot, while others wait for the room.
@example(
    Plan(
        personas=(Who(budget_tokens=150), Who()),
        work=(*SIX[:4], *(Work(persona=1),) * 2),
        workers=2,
    ),
    [],
)
# The first that is let through as a probe has no tokens: another one is the probe.
@example(PROBE_PARKED, [*[Finish(2, "fault", 10)] * 5, Finish(1, "ok", 50), *[NextTimer()] * 6])
# The first call after a crash with a probe out is refused, and has the record say open.
@example(
    Plan(
        personas=(
            Who(),
            Who(budget_tokens=90),
            Who(budget_tokens=400, backoff_seconds=0.0, gives_up=False),
        ),
        work=(Work(persona=2), Work(persona=1), Work(after=frozenset({0})), Work(persona=2)),
        workers=2,
    ),
    [
        *(Rerun(0, interrupt=True), CrashAfter(1, 30), Outage(5), Retry(0)),
        *(CrashAfter(2, 300), Outage(1), Rerun(0)),
    ],
)
# An engine that has answered in between is given the short pause again.
@example(Plan(work=SIX, workers=4), [Outage(5), Pass(31.0), Finish(1, "ok", 50), Outage(5)])
# The last attempt of all is cut short, and followed by another one; a crash has no such excuse.
@example(LAST_TRY, [Pause(interrupt=True), Resume(), Crash(None, 0.0)])
# What was asked for twice is killed at the earlier deadline; a crash in between changes nothing.
@example(Plan(work=SIX, workers=3), [Deaf(), Cancel(400.0), Cancel(3.0), NextTimer()])
@example(LAST_TRY, [Deaf(), Cancel(3.0), Crash(None, 0.0), Rerun(0), Resume()])
# What is to run again does so behind a call that is waited for, cut short, or left by a crash, and
# before the session pauses, if it is to do that, too.
@example(Plan(work=SIX[:2]), [Rerun(0), Finish(0, "ok", 50), Finish(0, "ok", 50)])
@example(Plan(work=SIX[:2]), [Rerun(0, interrupt=True), Pause(interrupt=False), Resume()])
@example(Plan(work=SIX[:2]), [Rerun(0), Crash(None, 0.0), Finish(0, "ok", 50)])
@example(Plan(work=SIX[:2]), [Pause(interrupt=False), Rerun(0), Finish(0, "ok", 50), Resume()])
@example(Plan(work=SIX[:2]), [Rerun(0), Cancel(3.0), Crash(None, 0.0)])
# A persona that cannot be kept alive while its engine heeds nobody.
@example(Plan(work=SIX[:1]), [Deaf(), Doom(0)])
# Somebody is still ending a task when the session could be cancelled.
@example(Plan(work=SIX[:1]), [Finish(0, "transient", 50), Doom(0), Cancel(0.0)])
# Tasks that wait for tokens are sent away, and ask again after the pause.
@example(
    Plan(personas=(Who(budget_tokens=150),), work=SIX[:2], workers=2),
    [Pause(interrupt=False), Finish(0, "ok", 50), Rerun(0), Resume()],
)
# A failure blocks what comes after it, until it is tried again; then all is done once more.
@example(
    Plan(phases=(frozenset(), frozenset({0})), work=(Work(), Work(phase=1))),
    [Finish(0, "permanent", 50), Retry(0), *[Finish(0, "ok", 50)] * 2, Rerun(0), Crash(None, 0.0)],
)
def test_a_session_keeps_its_rules_through_any_failures_and_crashes(
    plan: Plan, steps: list[Step]
) -> None:
    with (
        tempfile.TemporaryDirectory() as scratch,
        closing(Play(Path(scratch), plan.team())) as play,
    ):
        for step in steps:
            play.take(step)
        play.play_out()
