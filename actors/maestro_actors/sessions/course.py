"""Where a session stands in the memory of its coordinator, between two messages."""

from collections import deque

from maestro_actors.ports import Ports
from maestro_actors.sessions.blockers import Blockers, Entry
from maestro_actors.sessions.checkpoints import Checkpoints
from maestro_actors.sessions.graph import SessionGraph
from maestro_actors.sessions.personas import Personas
from maestro_actors.sessions.plan import Standing, recorded_phases
from maestro_actors.team import Team
from maestro_actors.verbs.wish import intention
from maestro_storage.records import TASK_PASSED, SessionRecord, TaskState, WaitsFor


class Course:
    """What is under way in one session. Plain state: its coordinator changes it."""

    def __init__(self, ports: Ports, session_id: str, team: Team) -> None:
        """Begin with what is on record, as nobody runs anything of it."""
        memory = ports.memory
        tasks = memory.tasks(session_id)
        points = memory.checkpoints(session_id)
        self.session: SessionRecord = memory.session(session_id)
        last = points[-1].number if points else 0
        self.checkpoints = Checkpoints(ports, session_id, max(last, self.session.checkpoints_made))
        self.ready: deque[str] = deque()
        self.in_flight: set[str] = set()
        """Tasks that were given a slot and have not said what became of it, durably."""
        self.vacated: set[str] = set()
        """Those of them whose slot is free already."""
        self.to_recover = deque(record.task_id for record in tasks if record.state == "running")
        self.recovering: set[str] = set()
        self.taken_over = {
            record.task_id
            for record in tasks
            if record.state == "running" and record.epoch == ports.epoch
        }
        """Tasks with a call that a coordinator before this has begun here: it may still run."""
        self.recording: set[str] = set()
        """Phases whose checkpoint is not durable yet."""
        self.retrying: set[str] = set()
        """Tasks whose retry is not durable yet."""
        self.wishes = 0
        """Those that are not durable yet."""
        self.stopping = bool(intention(self.session))
        """What the session is to do before it runs is durable: nothing more begins."""
        self.dismissed = False
        """Every persona has been told to go, so that nobody writes any more."""
        self.ended = False
        self.entries = {
            record.task_id: Entry(record, record.state, record.waits_for, record.waits_on)
            for record in tasks
        }
        self.personas = Personas(ports, self.session, team, self.entries)
        self.graph = SessionGraph(
            team,
            done=(record.task_id for record in tasks if record.state in TASK_PASSED),
            recorded=recorded_phases(points),
            stretch=self.session.plan[0].phases if self.session.plan else None,
        )
        self.blockers = Blockers(
            team,
            self.graph,
            self.entries,
            self.ready,
            (self.in_flight, self.recovering, self.to_recover),
        )

    def queue(self, task_id: str) -> None:
        """Let a task wait for a slot, behind all others."""
        self.entries[task_id].queued = True
        self.ready.append(task_id)

    def queue_first(self, task_id: str) -> None:
        """Let a task that has begun wait for a slot, ahead of the others: finish before you start.

        A slot that it has is taken back: a persona that asks although it has one has failed, and
        with it its order to begin.
        """
        self.release(task_id)
        entry = self.entries[task_id]
        if not entry.queued:
            entry.queued = True
            self.ready.appendleft(task_id)

    def unqueue(self, task_id: str) -> None:
        """Let a task no longer wait for a slot, if it does."""
        entry = self.entries[task_id]
        if entry.queued:
            entry.queued = False
            self.ready.remove(task_id)

    def wait(self, task_id: str, waits_for: WaitsFor, waits_on: str) -> None:
        """Note that a task waits for something other than a slot."""
        entry = self.entries[task_id]
        entry.state, entry.waits_for, entry.waits_on = "waiting", waits_for, waits_on
        self.release(task_id)

    def finish(self, task_id: str, state: TaskState) -> None:
        """Note that a task has ended and its persona has gone with it."""
        entry = self.entries[task_id]
        entry.state, entry.alive = state, False
        self.release(task_id)
        if state == "done":
            self.graph.finish_task(task_id)

    def release(self, task_id: str) -> None:
        """Take back the slot of a task, if it has one."""
        self.in_flight.discard(task_id)
        self.vacated.discard(task_id)
        self.recovering.discard(task_id)
        self.taken_over.discard(task_id)

    def vacate(self, task_id: str) -> None:
        """Let another task have the slot of one whose end is handed in."""
        if task_id in self.in_flight:
            self.vacated.add(task_id)

    @property
    def slots_taken(self) -> int:
        """How many slots nobody else can have."""
        return len(self.in_flight) - len(self.vacated) + len(self.taken_over)

    @property
    def takes_orders(self) -> bool:
        """Whether somebody could still do what is asked of the session."""
        return not (self.ended or self.dismissed)

    def is_busy(self) -> bool:
        """Whether something is under way that ends by itself."""
        recording = self.recording or self.retrying or self.wishes
        return bool(self.in_flight or self.to_recover or self.recovering or recording)

    def can_go_on(self) -> bool:
        """Whether something may still happen in the session."""
        # What is most often so comes first: the last one looks at every task. One that waits
        # without a persona would wait for ever.
        return (
            self.is_busy()
            or bool(self.ready)
            or any(entry.state == "waiting" and entry.alive for entry in self.entries.values())
        )

    def standing(self) -> Standing:
        """Return where tasks and phases stand for who plans; what is retried is queued."""
        states: dict[str, TaskState] = {
            task_id: "queued" if task_id in self.retrying else entry.state
            for task_id, entry in self.entries.items()
        }
        return Standing(states=states, recorded=self.graph.recorded, plan=self.session.plan)
