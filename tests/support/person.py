"""A person at a run: what is done to a session by hand, at moments that a seed has chosen."""

import random
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from maestro_actors.answer import Answer
from maestro_actors.errors import HelpNotAwaited, VerbRefused
from maestro_runtime import Runtime
from maestro_runtime.help import waiting_for_help
from maestro_runtime.report import SessionReport
from maestro_storage.records import SESSION_FINAL, EventRecord

BOUND_SECONDS: Final = 20.0
EVENTS_MAX: Final = 6
"""Most events between one deed and the next."""
DEEDS_MAX: Final = 3
"""Of one life."""

Verb = Literal["pause", "interrupt", "hesitate", "retry", "cancel"]
VERBS: Final[tuple[Verb, ...]] = ("pause", "retry", "interrupt", "hesitate")
GENTLE: Final = VERBS[:2]
"""They let calls in flight come to their end."""
Decision = Literal["skip", "give_up"]


@dataclass(frozen=True)
class Deed:
    """What is done, and when."""

    verb: Verb
    events: int
    """How many events there are before it, since the deed before it or the start of the process."""


def random_deeds(chance: random.Random, *, gentle: bool) -> tuple[Deed, ...]:
    """Choose what is done in one life; a session is rarely cancelled, as that ends it."""
    deeds: list[Deed] = []
    for _ in range(chance.randint(0, DEEDS_MAX)):
        verb = chance.choice(GENTLE if gentle else VERBS)
        if not gentle and chance.random() < 1 / 60:
            verb = "cancel"
        deeds.append(Deed(verb, chance.randint(0, EVENTS_MAX)))
    return tuple(deeds)


class Person:
    """Whoever looks after a session in one life of its runtime."""

    def __init__(
        self, runtime: Runtime, session_id: str, answers: dict[str, Decision] | None = None
    ) -> None:
        """Watch a session that is not run yet; `answers` are those for tasks that need help."""
        self._runtime = runtime
        self._session_id = session_id
        self._answers = answers or {}
        self._told = threading.Condition()
        self._events = 0
        self._is_at_rest = False
        runtime.subscribe(self._hear)

    def act(self, deeds: tuple[Deed, ...]) -> None:
        """Do what is to be done, as long as the session runs."""
        for deed in deeds:
            if not self._goes_on(deed.events):
                return
            # It may come to its end at this very moment.
            with suppress(VerbRefused):
                self._do(deed.verb)

    def see_through(self) -> SessionReport:
        """Answer, resume, and wait until the session has ended; return how."""
        while True:
            session = self._runtime.resume(self._session_id)
            report = session.result(BOUND_SECONDS)
            if report.state in SESSION_FINAL:
                return report
            self._answer()

    def _do(self, verb: Verb) -> None:
        runtime, session_id = self._runtime, self._session_id
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

    def _answer(self) -> None:
        for request in waiting_for_help(self._runtime.store, self._session_id):
            answer = Answer(decision=self._answers[request.task_id], by="a person")
            with suppress(HelpNotAwaited):
                self._runtime.answer(self._session_id, request.task_id, answer)

    def _hear(self, event: EventRecord) -> None:
        with self._told:
            self._events += 1
            self._is_at_rest = event.kind in _RESTS
            self._told.notify()

    def _goes_on(self, events: int) -> bool:
        """Wait for so many events more; False if the session comes to rest before."""
        with self._told:
            due = self._events + events
            self._told.wait_for(lambda: self._events >= due or self._is_at_rest, BOUND_SECONDS)
            return not self._is_at_rest


_RESTS: Final = frozenset(f"session_{state}" for state in (*SESSION_FINAL, "help_needed", "paused"))
