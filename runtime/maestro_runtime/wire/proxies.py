"""Typed access to who carries out orders: the same in this process and in others."""

import pykka

from maestro_actors.messages import Request, reply_of
from maestro_actors.proxy import Channel, Proxy, ReplyT, asks
from maestro_runtime.wire.orders import (
    SUPERVISOR_ADDRESS,
    AnswerTask,
    BeginPhases,
    CancelSession,
    CloseBreaker,
    CorrectBooking,
    ForkSession,
    ImportBundle,
    KeepValues,
    LeaveSafeMode,
    NameCheckpoint,
    OpenBreaker,
    PauseSession,
    PruneCheckpoints,
    RemoveSession,
    RerunPhase,
    ResumeSession,
    RetryFailed,
    StartSession,
    TopUpBudget,
)
from maestro_runtime.wire.state import (
    CUSTODIAN_ADDRESS,
    BackUpState,
    GetStateInfo,
    VerifyState,
)


class SupervisorProxy(Proxy):
    """Typed access to the supervisor: what can be ordered; each order sees what those before did.

    No answer waits for more than the order to become durable, never for the end of a session.
    """

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel, SUPERVISOR_ADDRESS)

    def carry_out(self, order: Request[ReplyT]) -> pykka.Future[ReplyT]:
        """Send an order that has been made elsewhere."""
        return self._ask(order, reply_of(type(order)))

    start_session = asks(StartSession)
    resume_session = asks(ResumeSession)
    fork_session = asks(ForkSession)
    pause_session = asks(PauseSession)
    cancel_session = asks(CancelSession)
    retry_failed = asks(RetryFailed)
    rerun_phase = asks(RerunPhase)
    remove_session = asks(RemoveSession)
    answer_task = asks(AnswerTask)
    name_checkpoint = asks(NameCheckpoint)
    begin_phases = asks(BeginPhases)
    top_up = asks(TopUpBudget)
    correct_booking = asks(CorrectBooking)
    open_breaker = asks(OpenBreaker)
    close_breaker = asks(CloseBreaker)
    prune_checkpoints = asks(PruneCheckpoints)
    import_bundle = asks(ImportBundle)
    keep_values = asks(KeepValues)
    leave_safe_mode = asks(LeaveSafeMode)


class CustodianProxy(Proxy):
    """Typed access to the custodian of a state directory."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel, CUSTODIAN_ADDRESS)

    info = asks(GetStateInfo)
    verify = asks(VerifyState)
    back_up = asks(BackUpState)
