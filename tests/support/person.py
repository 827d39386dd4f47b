"""A person at a run: what is done to sessions by hand, at moments that a seed has chosen."""

import random
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from family import requirement_of
from maestro_actors.errors import HelpNotAwaited, VerbRefused
from maestro_actors.help.answer import Answer
from maestro_runtime import ForkOrder, Runtime, SessionOrder
from maestro_runtime.checkpoints import ArtifactMismatch
from maestro_runtime.errors import DirectoryUnusable
from maestro_runtime.reports.help import waiting_for_help
from maestro_runtime.reports.session import SessionReport
from maestro_runtime.stream import REST_EVENTS
from maestro_storage.records import SESSION_FINAL, EventRecord, SessionRecord

BOUND_SECONDS: Final = 20.0
EVENTS_MAX: Final = 3
"""Most events between one deed and the next."""
DEEDS_MAX: Final = 3
"""Of one life."""

FORKS_MAX: Final = 2
"""Of one run, forks of forks included."""

Verb = Literal["pause", "interrupt", "hesitate", "retry", "cancel", "fork", "abandon", "rerun"]
GENTLE: Final[tuple[Verb, ...]] = ("pause", "retry", "fork", "rerun")
"""They let calls in flight come to their end."""
VERBS: Final[tuple[Verb, ...]] = (*GENTLE, "fork", "interrupt", "hesitate", "abandon")
Decision = Literal["skip", "give_up"]


@dataclass(frozen=True)
class Deed:
    """What is done, and when."""

    verb: Verb
    events: int
    """How many events there are before it, since the deed before it or the start of the process."""
    place: int = 0
    """Which of the sessions it is done to, and with which of what there is, counted round."""


def random_deeds(chance: random.Random, *, gentle: bool) -> tuple[Deed, ...]:
    """Choose what is done in one life; a session is rarely cancelled, as that ends it."""
    deeds: list[Deed] = []
    for _ in range(chance.randint(0, DEEDS_MAX)):
        verb = chance.choice(GENTLE if gentle else VERBS)
        if not gentle and chance.random() < 1 / 60:
            verb = "cancel"
        deeds.append(Deed(verb, chance.randint(0, EVENTS_MAX), chance.randrange(1 << 16)))
    return tuple(deeds)


class Person:
    """Whoever looks after the sessions of a state in one life of its runtime."""

    def __init__(self, runtime: Runtime, answers: dict[str, Decision] | None = None) -> None:
        """Come before anything runs; `answers` are those for tasks that need help."""
        self._runtime = runtime
        self._answers = answers or {}
        self._told = threading.Condition()
        self._events = 0
        self._going: set[str] = set()
        """Sessions that have not come to rest."""
        runtime.subscribe(self._hear)

    def begin(self, order: SessionOrder) -> None:
        """Start the session, or let it go on with all its forks.

        What has ended is left alone: how it ended may have been told. So is what the life before
        has paused.
        """
        found = {session.session_id: session.state for session in self._sessions()}
        session_id = order.session_id or ""
        with self._told:
            self._going |= {name for name, state in found.items() if state == "running"}
            self._going |= {session_id} - set(found)
        self._runtime.run(order)
        for name, state in found.items():
            if state == "running" and name != session_id:
                self._runtime.resume(name)

    def act(self, deeds: tuple[Deed, ...]) -> None:
        """Do what is to be done, as long as a session runs."""
        for deed in deeds:
            if not self._goes_on(deed.events):
                return
            sessions = self._sessions()
            which, place = deed.place % len(sessions), deed.place // len(sessions)
            # It may come to its end at this very moment.
            with suppress(VerbRefused):
                self._do(deed.verb, sessions[which], place)

    def see_through(self) -> list[SessionReport]:
        """Answer, resume, and wait until all sessions have ended; return how."""
        while True:
            names = [session.session_id for session in self._sessions()]
            sessions = [self._runtime.resume(name) for name in names]
            reports = [session.result(BOUND_SECONDS) for session in sessions]
            if all(report.state in SESSION_FINAL for report in reports):
                return reports
            for name in names:
                self._answer(name)

    def _do(self, verb: Verb, session: SessionRecord, place: int) -> None:
        runtime, session_id = self._runtime, session.session_id
        match verb:
            case "pause" | "interrupt":
                pausing = runtime.pause(session_id, interrupt=verb == "interrupt")
                pausing.result(BOUND_SECONDS)
                runtime.resume(session_id)
            case "hesitate":
                runtime.pause(session_id, interrupt=True)
                runtime.resume(session_id)
            case "retry":
                tasks = list(runtime.store.tasks.scan(session_id))
                for task_id in [task.task_id for task in tasks if task.state == "failed"]:
                    runtime.retry(session_id, task_id)
            case "cancel":
                # Nothing is killed: the engine is to find out what it has been billed.
                runtime.cancel(session_id, deadline_seconds=BOUND_SECONDS)
            case "fork":
                self._fork(session, place)
            case "rerun":
                self._rerun(session_id, place)
            case "abandon":
                self._abandon(session, place)

    def _abandon(self, session: SessionRecord, place: int) -> None:
        """Go on with a fork of a session that goes on no more, or not for now."""
        runtime, session_id = self._runtime, session.session_id
        if session.origin_session:
            runtime.cancel(session_id, deadline_seconds=BOUND_SECONDS).result(BOUND_SECONDS)
            self._fork(session, place)
        else:
            runtime.pause(session_id).result(BOUND_SECONDS)
            self._fork(session, place)
            runtime.resume(session_id)

    def _rerun(self, session_id: str, place: int) -> None:
        """Run a phase in which something has begun, and all after it, again."""
        tasks = self._runtime.store.tasks.scan(session_id)
        phases = sorted({task.phase for task in tasks if task.ordinal})
        if phases:
            self._runtime.rerun(session_id, phases[place % len(phases)])

    def _fork(self, session: SessionRecord, place: int) -> None:
        """Fork from one of the checkpoints, half of the time with another requirement.

        Most have something to keep. The name says which fork it is, so that the same one is made
        again where a life has ended within it: it has left files that no other fork may use.
        """
        is_edited, keeps, place = place % 2 == 1, place // 2 % 8 > 0, place // 16
        points = [
            point
            for point in self._runtime.store.checkpoints.scan(session.session_id)
            if point.tasks_done or not keeps
        ]
        if not points:
            return
        number = points[place % len(points)].number
        name = f"{session.session_id}-{number}{'e' if is_edited else ''}"
        sessions = self._sessions()
        if len(sessions) > FORKS_MAX or name in {session.session_id for session in sessions}:
            return
        order = ForkOrder(
            session.session_id,
            str(number),
            name,
            Path(session.output_dir).with_name(name),
            requirement_of(name) if is_edited else None,
        )
        with self._told:
            self._going.add(name)
        try:
            self._runtime.fork(order)
        except (ArtifactMismatch, DirectoryUnusable):
            with self._told:
                self._going.discard(name)
            # Only a rerun changes files that a checkpoint has.
            events = self._runtime.store.events.scan(session.session_id)
            if all(event.kind != "session_rerun" for event in events):
                raise

    def _sessions(self) -> list[SessionRecord]:
        return list(self._runtime.store.sessions.scan())

    def _answer(self, session_id: str) -> None:
        for request in waiting_for_help(self._runtime.store, session_id):
            answer = Answer(decision=self._answers[request.task_id], by="a person")
            with suppress(HelpNotAwaited):
                self._runtime.answer(session_id, request.task_id, answer)

    def _hear(self, event: EventRecord) -> None:
        with self._told:
            self._events += 1
            if event.kind in REST_EVENTS:
                self._going.discard(event.session_id)
            elif event.kind == "attempt_started":
                self._going.add(event.session_id)
            self._told.notify()

    def _goes_on(self, events: int) -> bool:
        """Wait for so many events more; False if all sessions come to rest before."""
        with self._told:
            due = self._events + events
            self._told.wait_for(lambda: self._events >= due or not self._going, BOUND_SECONDS)
            return bool(self._going)
