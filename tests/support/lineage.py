"""What the history of a session of phases must look like, whatever was asked for: a small model.

It replays the events from the first on, refuses what must not happen, and says what is done by the
end. It knows nothing of attempts, tokens and breakers: that is the business of `session_model`.
"""

from maestro_actors.team import Team
from maestro_storage.records import EventRecord


class Lineage:
    """One session, from its beginning or from that of its fork."""

    def __init__(self, team: Team, asked: set[str], kept: frozenset[str] = frozenset()) -> None:
        """Begin.

        Args:
            team: Of the session.
            asked: Phases that somebody has asked for by the end of the history.
            kept: Tasks that the checkpoint it begins with has.
        """
        self._phase_of = {item.id: item.phase for item in team.contracts}
        self._after = {phase.name: set(phase.after) for phase in team.phases}
        self._asked = asked
        self._sequence = 0
        self.done = set(kept)
        self.kept = set(kept)
        """Tasks of the checkpoint that nobody has had done again."""
        self.over: list[str] = []
        """Phases that have ended, in their order."""
        self.then: dict[int, frozenset[str]] = {1: kept}
        """The tasks that were done by each checkpoint."""
        self.running: set[str] = set()
        """Tasks with an attempt that has not ended."""
        self.attempts = 0
        self.cancelled = self.paused = False

    def observe(self, event: EventRecord) -> None:
        """Take the next event; AssertionError if it must not happen."""
        self._sequence += 1
        assert event.sequence == self._sequence
        assert not self.cancelled or event.kind == "checkpoint_taken", f"{event.kind} of the dead"
        match event.kind:
            case "attempt_started":
                self._begun(event.task_id)
            case "attempt_succeeded" | "attempt_failed" | "attempt_interrupted":
                self.running.remove(event.task_id)
            case "task_done":
                assert event.task_id not in self.done
                self.done.add(event.task_id)
            case "phase_finished" | "checkpoint_taken":
                self._recorded(event)
            case "session_rerun":
                self._again(self.phases_from(str(event.data["from_phase"])))
            case "session_paused" | "session_cancelled":
                assert not self.running, f"{event.kind}, but {self.running} go on"
                self.paused = event.kind == "session_paused"
                self.cancelled = not self.paused
            case "session_resumed" | "plan_changed":
                self.paused = False
            case "session_stuck":
                raise AssertionError(f"nobody knows what {event.data} waits for")

    @property
    def over_all(self) -> bool:
        """Whether all phases have ended."""
        return set(self.over) == set(self._after)

    def _begun(self, task_id: str) -> None:
        phase = self._phase_of[task_id]
        assert task_id not in self.done, f"{task_id} is done"
        assert task_id not in self.running, f"{task_id} runs twice"
        assert self._after[phase] <= set(self.over), f"{phase} before its predecessors"
        assert phase in self._asked, f"nobody has asked for {phase}"
        assert not self.paused, f"{task_id} begins in a pause"
        self.running.add(task_id)
        self.attempts += 1

    def _recorded(self, event: EventRecord) -> None:
        if event.kind == "phase_finished":
            name = str(event.data["phase"])
            assert name not in self.over
            assert {item for item, phase in self._phase_of.items() if phase == name} <= self.done
            self.over.append(name)
        number = event.data["checkpoint"]
        assert isinstance(number, int)
        assert number not in self.then, f"checkpoint {number} again"
        self.then[number] = frozenset(self.done)

    def _again(self, names: set[str]) -> None:
        assert not self.running
        again = {task_id for task_id, phase in self._phase_of.items() if phase in names}
        self.done -= again
        self.kept -= again
        self.over = [name for name in self.over if name not in names]

    def phases_from(self, name: str) -> set[str]:
        """Return a phase and all after it."""
        names = {name}
        for _ in self._after:
            names |= {phase for phase, after in self._after.items() if names & after}
        return names
