"""Sessions of random phases and their forks, through all verbs, kills and reopens: held to a model.

A real runtime on a real store; only time and the engines are replaced. After each step it is let
come to rest, and every session is held against the model (`lineage`). A campaign plays more:

    MAESTRO_MODEL_PROGRAMS=1000 TMPDIR=/dev/shm pytest --timeout 0 tests/integration/sessions
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from lineage import Lineage, Passed
from maestro_actors.engine import CallOrder
from maestro_actors.errors import PhaseConflict, PhaseNotReady, VerbRefused
from maestro_actors.team import Team
from maestro_runtime import ForkOrder, Runtime, SessionOrder
from maestro_runtime.checkpoints import fork_plan
from maestro_runtime.engines import Permanent
from maestro_runtime.testing import Hold, TrialRuntime, Work
from maestro_storage import StateView, _journal
from maestro_storage.plan import Plan, Stretch
from maestro_storage.records import SESSION_FINAL, TASK_FINAL
from phase_teams import phase_teams
from staging import BOUND_SECONDS

PROGRAMS: Final = int(os.environ.get("MAESTRO_MODEL_PROGRAMS", "30"))
STEPS: Final = 20
STEPS_TO_END_MAX: Final = 100
SESSIONS_MAX: Final = 4
REFUSALS: Final = (VerbRefused, PhaseConflict, PhaseNotReady)

PLACE: Final = st.integers(0, 5)
PLACES: Final = st.lists(PLACE, max_size=3)


@dataclass
class Member:
    """A session, and what has been asked of it."""

    session_id: str
    asked: set[str]
    """Phases that may run."""
    kept: dict[str, Passed] = field(default_factory=dict)
    """Tasks it need not run, because its checkpoint has them."""
    is_cancelled: bool = False
    """That was said, and durable."""
    lineage: Lineage = field(init=False)
    """After the last step."""


class FamilyMachine(RuleBasedStateMachine):
    """A session, its forks, theirs, and the process of the moment."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.directory = Path(self.scratch.name)
        self.trial = TrialRuntime(self.directory)
        self.trial.engine.otherwise = Hold()
        self.members: list[Member] = []
        self.forks = 0

    def teardown(self) -> None:
        try:
            if self.members:
                self.play_out()
        finally:
            self.trial.kill()
            self.scratch.cleanup()

    @initialize(team=phase_teams())
    def begin(self, team: Team) -> None:
        self.team = team
        self.names = [phase.name for phase in team.phases]
        order = SessionOrder(team, "s", self.directory / "s")
        assert self.trial.survives(lambda: self.runtime.create(order))
        self.members.append(Member("s", set()))

    @property
    def runtime(self) -> Runtime:
        return self.trial.runtime

    @property
    def store(self) -> StateView:
        return self.runtime.store

    @rule(who=PLACE, places=PLACES.filter(bool))
    def run_phases(self, who: int, places: list[int]) -> None:
        member, phases = self.member(who), self.phases(places)
        if self.is_live(member) and self.is_hindered(member, phases):
            return
        before = set(member.asked)
        # Asked for even if nobody survives to hear the answer.
        member.asked |= set(phases)
        if not self.taken(lambda: self.runtime.run_phases(member.session_id, phases)):
            member.asked = before

    def is_hindered(self, member: Member, phases: list[str]) -> bool:
        """Whether phases are not to be asked for while the session runs.

        If a task of them has failed, it is tried again even if the call is then refused.
        """
        tasks = self.store.tasks.scan(member.session_id)
        return any(task.state == "failed" and task.phase in phases for task in tasks)

    @rule(who=PLACE, places=PLACES)
    def resume(self, who: int, places: list[int]) -> None:
        """Resume what is left; or by a plan that stops after each of some phases."""
        member, phases = self.member(who), self.phases(places)
        record = self.store.require_session(member.session_id)
        if record.state in SESSION_FINAL or (phases and self.is_live(member)):
            return
        plan = tuple(Stretch((name,)) for name in phases) or None
        before = set(member.asked)
        member.asked |= self.planned(plan or record.plan)
        if not self.taken(lambda: self.runtime.resume(member.session_id, plan)):
            member.asked = before

    @rule(who=PLACE, is_well=st.booleans())
    def finish(self, who: int, *, is_well: bool) -> None:
        calls = self.trial.engine.held
        if calls:
            self.end(calls[who % len(calls)], is_well=is_well)

    @rule(places=st.lists(PLACE, min_size=2, max_size=6))
    def finish_some(self, places: list[int]) -> None:
        """Let calls end well, one after the other: else hardly a phase would end."""
        for place in places:
            self.finish(place, is_well=True)
            self.come_to_rest()

    @rule(places=st.lists(PLACE, min_size=2, max_size=6))
    def finish_more(self, places: list[int]) -> None:
        """As above, since steps are drawn evenly."""
        self.finish_some(places)

    @rule(who=PLACE)
    def checkpoint(self, who: int) -> None:
        self.taken(lambda: self.runtime.checkpoint(self.member(who).session_id, "taken"))

    @rule(who=PLACE, interrupt=st.booleans())
    def pause(self, who: int, *, interrupt: bool) -> None:
        member = self.member(who)
        self.taken(lambda: self.runtime.pause(member.session_id, interrupt=interrupt))

    @rule(who=PLACE, is_meant=st.sampled_from([False, False, True]))
    def cancel(self, who: int, *, is_meant: bool) -> None:
        member = self.member(who)
        if is_meant and self.taken(lambda: self.runtime.cancel(member.session_id)):
            member.is_cancelled = not self.trial.death.has_come

    @rule(who=PLACE, place=PLACE)
    def retry(self, who: int, place: int) -> None:
        member = self.member(who)
        tasks = self.store.tasks.scan(member.session_id)
        failed = [task.task_id for task in tasks if task.state == "failed"]
        if failed:
            task_id = failed[place % len(failed)]
            self.taken(lambda: self.runtime.retry(member.session_id, task_id))

    @rule(who=PLACE, place=PLACE)
    def rerun(self, who: int, place: int) -> None:
        member, phase = self.member(who), self.names[place % len(self.names)]
        self.taken(lambda: self.runtime.rerun(member.session_id, phase))

    @rule(who=PLACE, place=PLACE)
    def fork(self, who: int, place: int) -> None:
        """Fork from any checkpoint there is, while the original runs or rests."""
        if len(self.members) == SESSIONS_MAX:
            return
        origin = self.member(who)
        numbers = [row.number for row in self.store.checkpoints.scan(origin.session_id)]
        number = numbers[-1 - place % len(numbers)]
        kept = origin.lineage.then[number]
        self.forks += 1
        name = f"f{self.forks}"
        order = ForkOrder(origin.session_id, str(number), name, self.directory / name)
        assert set(fork_plan(self.store, order).tasks_kept) == set(kept)
        before = self.everything(origin)
        self.trial.survives(lambda: self.runtime.fork(order))
        self.come_to_rest()
        assert self.everything(origin) == before, "a fork has touched its original"
        if self.store.sessions.get(name) is not None:
            self.members.append(Member(name, set(self.names), kept))

    @rule(when=st.sampled_from(["before", "after"]), commits=st.integers(1, 8))
    def die_soon(self, when: Any, commits: int) -> None:
        self.trial.death.arm(commits, when)

    @rule()
    def die(self) -> None:
        self.reopen()

    @invariant()
    def every_session_has_kept_the_rules(self) -> None:
        self.come_to_rest()
        for member in self.members:
            self.check_history(member)
            self.check_records(member)
            self.check_blockers(member)

    def check_history(self, member: Member) -> None:
        member.lineage = Lineage(self.team, member.asked, member.kept)
        for event in self.store.events.scan(member.session_id):
            member.lineage.observe(event)

    def check_records(self, member: Member) -> None:
        lineage, record = member.lineage, self.store.require_session(member.session_id)
        tasks = {task.task_id: task for task in self.store.tasks.scan(member.session_id)}
        done = {task_id for task_id, task in tasks.items() if task.state == "done"}
        assert done == lineage.done
        assert all(tasks[task_id].ordinal == 0 for task_id in lineage.kept), "it had been done"
        calls = list(self.store.calls.scan(member.session_id))
        assert len(calls) == lineage.attempts, "two attempts have one call"
        rows = list(self.store.checkpoints.scan(member.session_id))
        assert [row.phase for row in rows if not row.on_demand] == ["init", *lineage.over]
        assert {row.number for row in rows} <= set(lineage.then)
        assert lineage.cancelled == (record.state == "cancelled")
        if member.is_cancelled:
            # All of its tasks may have been done by then, and nothing has failed since.
            assert record.state in SESSION_FINAL
        is_through = done == set(tasks) and lineage.over_all
        # Who dies between its last phase and its end has only to be resumed.
        assert (record.state == "done") == is_through or (is_through and not self.is_live(member))
        if record.state in SESSION_FINAL:
            assert all(task.state in TASK_FINAL for task in tasks.values())
        if record.state != "running":
            assert not self.is_live(member)
            assert lineage.running == set()

    def check_blockers(self, member: Member) -> None:
        """Every task that has not ended says what it waits for, and that is true."""
        calls = {call.task_id for call in self.calls(member)}
        if not self.is_live(member):
            assert calls == set(), "a call outlives its session"
            for task in self.store.tasks.scan(member.session_id):
                assert (task.waits_for == "nothing") == (task.state in TASK_FINAL)
            return
        assert calls, "it runs, but what?"
        assert calls == member.lineage.running
        coordinator = self.runtime.coordinator(member.session_id)
        status = coordinator.status().get(timeout=BOUND_SECONDS)
        assert status.in_flight == len(calls)
        after = {phase.name: phase.after for phase in self.team.phases}
        for row in status.tasks:
            waited_for = {f"phase {name}" for name in after[row.phase]}
            waited_for -= {f"phase {name}" for name in member.lineage.over}
            match row.waits_for:
                case "nothing":
                    assert row.state in TASK_FINAL
                case "call":
                    assert row.task_id in calls
                case "slot":
                    assert len(calls) == self.team.max_parallel_workers or "is to" in row.detail
                    assert not waited_for
                case "contract":
                    what = row.detail.partition(";")[0]
                    assert what in waited_for or what == "a later stretch of the plan"
                case _:
                    # It was cut short, and the session is to stop.
                    assert row.waits_for == "deadline", row
                    assert "is to" in row.detail, row

    def member(self, who: int) -> Member:
        return self.members[who % len(self.members)]

    def phases(self, places: list[int]) -> list[str]:
        return list(dict.fromkeys(self.names[place % len(self.names)] for place in places))

    def planned(self, plan: Plan) -> set[str]:
        return {name for stretch in plan for name in stretch.phases} or set(self.names)

    def is_live(self, member: Member) -> bool:
        running = vars(self.runtime)["_running"]
        return running.live(member.session_id) is not None

    def calls(self, member: Member) -> list[CallOrder]:
        orders = self.trial.engine.held
        return [order for order in orders if order.session_id == member.session_id]

    def everything(self, member: Member) -> list[bytes]:
        store, session_id = self.store, member.session_id
        kinds = (
            *(store.sessions, store.tasks, store.attempts, store.calls, store.budgets),
            *(store.events, store.checkpoints, store.outbox),
        )
        return [msgspec.msgpack.encode(row) for kind in kinds for row in kind.scan(session_id)]

    def taken(self, verb: Callable[[], object]) -> bool:
        """Do what may be refused; whatever is refused must have changed nothing."""
        before = [self.everything(member) for member in self.members]
        with suppress(*REFUSALS):
            self.trial.survives(verb)
            return True
        assert [self.everything(member) for member in self.members] == before
        return False

    def end(self, order: CallOrder, *, is_well: bool) -> None:
        # A file of its own: one that another task has changed since could not be forked.
        well = Work(files={f"{order.task_id}.md": "done"})
        self.trial.engine.release(order.call_id, well if is_well else Permanent("scripted"))

    def come_to_rest(self) -> None:
        while not self.trial.survives(self.trial.rest):
            self.reopen()

    def reopen(self) -> None:
        self.trial.restart()
        # What has died on its way to be cancelled is brought there.
        for member in self.members:
            if member.is_cancelled:
                self.runtime.resume(member.session_id)

    def play_out(self) -> None:
        """Let everybody come to an end: nothing asks for help, so that there is one."""
        for member in self.members:
            for _ in range(STEPS_TO_END_MAX):
                self.every_session_has_kept_the_rules()
                if self.store.require_session(member.session_id).state in SESSION_FINAL:
                    break
                if not self.is_live(member):
                    self.resume(self.members.index(member), [])
                else:
                    self.end(self.calls(member)[0], is_well=True)
            else:
                raise AssertionError(f"{member} does not come to its end")


def test_sessions_and_their_forks_keep_the_rules_through_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One transition a commit, so that a program dies at the same one each time.
    monkeypatch.setattr(_journal, "BATCH_TRANSITIONS_MAX", 1)
    run_state_machine_as_test(
        FamilyMachine,
        settings=settings(
            max_examples=PROGRAMS,
            stateful_step_count=STEPS,
            print_blob=True,
        ),
    )
