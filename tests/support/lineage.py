"""What the history of a session of phases must look like, whatever was asked for: a small model.

It replays the events from the first on, refuses what must not happen, and says what is done by the
end. It knows nothing of attempts, tokens and breakers: that is the business of `session_model`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from maestro_actors.team import Team
from maestro_storage.records import EventRecord, TaskState


@dataclass(frozen=True)
class Passed:
    """How a task has ended that lets its dependents run."""

    state: TaskState
    attempts: int
    """Begun in the session by then; 0 if it is as the session began with it."""


class Lineage:
    """One session, from its beginning or from that of its fork."""

    def __init__(
        self, team: Team, asked: set[str], kept: Mapping[str, Passed] | None = None
    ) -> None:
        """Begin.

        Args:
            team: Of the session.
            asked: Phases that somebody has asked for by the end of the history.
            kept: Tasks that the checkpoint it begins with has, as its session had them.
        """
        self._phase_of = {item.id: item.phase for item in team.contracts}
        self._after = {phase.name: set(phase.after) for phase in team.phases}
        self._asked = asked
        self._workers = team.max_parallel_workers
        self._sequence = 0
        self.passed = {name: Passed(was.state, 0) for name, was in (kept or {}).items()}
        self.kept = set(self.passed)
        """Tasks of the checkpoint that nobody has had done again."""
        self.ever_done = self.done
        self.over: list[str] = []
        """Phases that have ended, in their order."""
        self.then: dict[int, dict[str, Passed]] = {1: dict(self.passed)}
        """The tasks that had passed by each checkpoint."""
        self.known: dict[int, set[str]] = {1: set(self.passed)}
        """Those that whoever drafted it must have known: others may have ended meanwhile."""
        self._passed_at: dict[str, int] = {}
        self._begun_at: dict[str, int] = {}
        """Sequences at which tasks have passed, and attempts in flight have begun."""
        self._durable = 0
        """What came before this sequence was durable when the last event was drafted."""
        self._epoch = 0
        self.running: set[str] = set()
        """Tasks with an attempt that has not ended."""
        self._alive: set[str] = set()
        """Those of them that no crash has cut short."""
        self.begun: Counter[str] = Counter()
        """Attempts of each task."""
        self.cancelled = self.paused = False
        self.reruns: list[tuple[str, int]] = []
        """Tasks that were to run again, and when."""
        self.is_to_rerun = False
        """Whether a rerun is asked for that is not done."""
        self.reruns_at_once = 0
        """Those that nothing in flight had to be waited for."""
        self.reruns_asked = 0
        """Those that were asked for and done later; asked for twice before, they are one."""

    def observe(self, event: EventRecord) -> None:
        """Take the next event; AssertionError if it must not happen."""
        self._follow(event)
        match event.kind:
            case "attempt_started":
                self._begun(event.task_id)
            case "attempt_succeeded" | "attempt_failed" | "attempt_interrupted":
                self.running.remove(event.task_id)
                self._alive.discard(event.task_id)
                # No engine is started before its attempt is durable.
                self._durable = max(self._durable, self._begun_at[event.task_id])
            case "task_done" | "task_skipped":
                self._has_passed(event.task_id, "done" if event.kind == "task_done" else "skipped")
            case "phase_finished" | "checkpoint_taken":
                self._recorded(event)
            case "rerun_asked" | "cancel_asked":
                # What is to end is not run again before.
                self.is_to_rerun = event.kind == "rerun_asked"
            case "session_rerun":
                self._again(self.phases_from(str(event.data["from_phase"])), event.at_ms)
            case "session_paused" | "session_cancelled":
                assert not self.running, f"{event.kind}, but {self.running} go on"
                self.paused = event.kind == "session_paused"
                self.cancelled = not self.paused
            case "session_resumed" | "plan_changed":
                self.paused = False
            case "session_stuck" | "coordinator_failed":
                raise AssertionError(f"{event.kind}: {event.data}")

    @property
    def done(self) -> set[str]:
        """The tasks that are done, in this session or before it."""
        return {name for name, how in self.passed.items() if how.state == "done"}

    @property
    def attempts(self) -> int:
        """How many have begun."""
        return self.begun.total()

    @property
    def over_all(self) -> bool:
        """Whether all phases have ended."""
        return set(self.over) == set(self._after)

    def _follow(self, event: EventRecord) -> None:
        self._sequence += 1
        assert event.sequence == self._sequence
        assert not self.cancelled or event.kind in _POSTHUMOUS, f"{event.kind} of the dead"
        if event.epoch != self._epoch:
            # Of another life, which has read what there was.
            self._epoch, self._durable = event.epoch, event.sequence
            self._alive.clear()

    def _begun(self, task_id: str) -> None:
        phase = self._phase_of[task_id]
        assert task_id not in self.passed, f"{task_id} is {self.passed[task_id].state}"
        assert task_id not in self.running, f"{task_id} runs twice"
        assert len(self._alive) < self._workers, f"{task_id} begins beside {self._alive}"
        assert self._after[phase] <= set(self.over), f"{phase} before its predecessors"
        assert phase in self._asked, f"nobody has asked for {phase}"
        assert not self.paused, f"{task_id} begins in a pause"
        self.running.add(task_id)
        self._alive.add(task_id)
        self.begun[task_id] += 1
        self._begun_at[task_id] = self._sequence

    def _has_passed(self, task_id: str, state: TaskState) -> None:
        assert task_id not in self.passed, f"{task_id} again"
        self.passed[task_id] = Passed(state, self.begun[task_id])
        self._passed_at[task_id] = self._sequence
        self.ever_done |= self.done

    def _recorded(self, event: EventRecord) -> None:
        if event.kind == "phase_finished":
            name = str(event.data["phase"])
            assert name not in self.over
            assert {item for item, phase in self._phase_of.items() if phase == name} <= set(
                self.passed
            )
            self.over.append(name)
        number = event.data["checkpoint"]
        assert isinstance(number, int)
        assert number not in self.then, f"checkpoint {number} again"
        self.then[number] = dict(self.passed)
        self.known[number] = {
            name
            for name in self.passed
            if self._phase_of[name] in self.over or self._passed_at.get(name, -1) < self._durable
        }

    def _again(self, names: set[str], at_ms: int) -> None:
        assert not self.running
        if self.is_to_rerun:
            self.reruns_asked += 1
        else:
            self.reruns_at_once += 1
        self.is_to_rerun = False
        again = {task_id for task_id, phase in self._phase_of.items() if phase in names}
        self.passed = {name: how for name, how in self.passed.items() if name not in again}
        self.kept -= again
        self.reruns += [(task_id, at_ms) for task_id in again]
        self.over = [name for name in self.over if name not in names]

    def phases_from(self, name: str) -> set[str]:
        """Return a phase and all after it."""
        names = {name}
        for _ in self._after:
            names |= {phase for phase, after in self._after.items() if names & after}
        return names


_POSTHUMOUS: Final = frozenset(
    ("checkpoint_taken", "ticket_filed", "ticket_delayed", "alert_sent", "alert_delayed")
)
"""Kinds of events of a session that is cancelled."""
