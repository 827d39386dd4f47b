"""How the rest of the program talks to the persona of a task."""

from typing import Final

from maestro_actors.identity import persona_address
from maestro_actors.messages import GetTask, RecoverTask, RunAttempt, StopAttempt
from maestro_actors.proxy import Channel, Proxy, asks

_RUN_ATTEMPT: Final = RunAttempt()


class PersonaProxy(Proxy):
    """Typed access to the persona of one task."""

    def __init__(self, channel: Channel, session_id: str, task_id: str) -> None:
        super().__init__(channel, persona_address(session_id, task_id))

    def run_attempt(self) -> None:
        """Give the task a slot."""
        self._channel.tell(self.address, _RUN_ATTEMPT)

    def stop_attempt(self, *, kill: bool, deadline_ms: int | None = None) -> None:
        """Cut the attempt in flight short; see `StopAttempt`."""
        self._tell(StopAttempt(kill=kill, deadline_ms=deadline_ms))

    def recover(self, *, excused: bool = False, deadline_ms: int | None = None) -> None:
        """Have the task settle its open call, if it has one, and go on from its record.

        If it is `excused`, that the call was interrupted does not end the task. A call that still
        runs, because only actors have failed, is stopped, and its programs have until the deadline.
        """
        self._tell(RecoverTask(excused=excused, deadline_ms=deadline_ms))

    status = asks(GetTask)
