"""How the rest of the program talks to the coordinator of a session."""

import pykka

from maestro_actors.identity import coordinator_address
from maestro_actors.messages import (
    CheckpointTaken,
    GetSession,
    HaltSession,
    OrderTaken,
    RetryTask,
    RunAgain,
    RunPhases,
    SessionStatus,
    TakeCheckpoint,
    WishSession,
)
from maestro_actors.proxy import Channel, Proxy, asks
from maestro_actors.receipt import Receipt
from maestro_actors.verbs.rework import Rerun
from maestro_actors.verbs.wish import Asked


class CoordinatorProxy(Proxy):
    """Typed access to the coordinator of one session."""

    def __init__(self, channel: Channel, session_id: str) -> None:
        super().__init__(channel, coordinator_address(session_id))

    status = asks(GetSession)

    def wish(self, asked: Asked) -> pykka.Future[OrderTaken]:
        """Ask the session to run, pause or be cancelled; durable after the answer, not with it.

        Raises, through the future:
            VerbRefused: See `maestro_actors.verbs.wish.stands`.
        """
        return self._ask(WishSession(asked=asked), OrderTaken)

    def retry(self, task_id: str, receipt: Receipt | None = None) -> pykka.Future[OrderTaken]:
        """Try a failed task again; durable after the answer, not with it.

        Raises, through the future:
            NotFound, VerbRefused: See `maestro_actors.verbs.rework.retried`.
        """
        return self._ask(RetryTask(task_id=task_id, receipt=receipt), OrderTaken)

    def rerun(
        self, plan: Rerun, *, interrupt: bool, receipt: Receipt | None = None
    ) -> pykka.Future[OrderTaken]:
        """Run a phase and all after it again, once nothing is in flight.

        That it is to be so is durable after the answer, not with it.

        Raises, through the future:
            NotFound, VerbRefused: See `maestro_actors.verbs.rework.plan_rerun`.
        """
        return self._ask(RunAgain(plan=plan, interrupt=interrupt, receipt=receipt), OrderTaken)

    def run_phases(self, phases: tuple[str, ...]) -> pykka.Future[OrderTaken]:
        """Let phases of the team run now; one that is done stays as it is.

        Raises, through the future:
            PhaseConflict: One of them runs already, for somebody else.
            PhaseNotReady: One comes after a phase that is neither done nor about to be.
        """
        return self._ask(RunPhases(phases=phases), OrderTaken)

    def take_checkpoint(
        self, name: str, receipt: Receipt | None = None
    ) -> pykka.Future[CheckpointTaken]:
        """Write down where the session stands, under a name that is not that of a phase."""
        return self._ask(TakeCheckpoint(name=name, receipt=receipt), CheckpointTaken)

    def halt(self) -> pykka.Future[SessionStatus]:
        """Start nothing more; the coordinator stops once nothing is in flight."""
        return self._ask(HaltSession(), SessionStatus)
