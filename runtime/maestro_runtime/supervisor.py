"""Who carries out orders from anywhere: two actors whose handlers may wait for the disk."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, Final, assert_never

import msgspec
import pykka

from maestro_actors.kernel import Later
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import CheckpointTaken, encode
from maestro_runtime.receipts import is_too_old
from maestro_runtime.starting.openings import Opening
from maestro_runtime.wire.orders import (
    Accepted,
    AnswerTask,
    BeginPhases,
    CancelSession,
    CloseBreaker,
    CorrectBooking,
    Done,
    ForkSession,
    ImportBundle,
    KeepValues,
    LeaveSafeMode,
    NameCheckpoint,
    OpenBreaker,
    Order,
    PauseSession,
    PruneCheckpoints,
    RemoveSession,
    RerunPhase,
    ResumeSession,
    RetryFailed,
    StartSession,
    TopUpBudget,
    request_id_of,
)
from maestro_runtime.wire.session_order import fork_order_of, import_order_of, order_of
from maestro_runtime.wire.state import (
    BackedUp,
    BackUpState,
    GetStateInfo,
    StateRequest,
    VerifyState,
)
from maestro_storage import Store, StoreInfo, VerifyReport

if TYPE_CHECKING:
    from maestro_runtime.runtime import Runtime
    from maestro_runtime.session import Session


ANSWERS_MAX: Final = 1024
"""Answers that are kept for orders that come again to the same process."""

SessionRequest = (
    StartSession | ResumeSession | ForkSession | PauseSession | CancelSession | RemoveSession
)
"""What is answered with the session it is about."""


class Supervisor(MessageActor):
    """Carries out orders about sessions by the verbs of the runtime, one after the other.

    New sessions are an exception: it does not wait until they are durable, so that those that are
    ordered meanwhile share a commit. An order that could miss one waits for it.
    """

    INBOX: ClassVar = msgspec.msgpack.Decoder(Order)

    def __init__(self, runtime: "Runtime") -> None:
        super().__init__()
        self._runtime = runtime
        self._answers: OrderedDict[bytes, Accepted] = OrderedDict()
        """The last ones to orders whose ids are not written down."""
        self._doubtful: set[bytes] = set()
        """Ids of orders that may still become durable, of the last day."""

    def handle(self, message: Any) -> msgspec.Struct | Later | None:
        """Answer once it is durable; whoever asked hears of errors.

        Raises:
            pykka.Timeout: It was not durable in time; or was not before, when it was sent first.
        """
        if isinstance(message, Opening):
            message.see_to()
            return None
        order: Order = message
        if isinstance(order, StartSession) and not order.attach:
            return self._begun(order)
        once = request_id_of(order)
        if once in self._answers:
            return self._answers[once]
        if once in self._doubtful and self._runtime.store.requests.get(once) is None:
            raise pykka.Timeout("the order was not durable in time; it still may become so")
        try:
            return self._carried_out(order)
        except (pykka.Timeout, TimeoutError):
            if once:
                self._doubtful = {known for known in self._doubtful if not is_too_old(known)}
                self._doubtful.add(once)
            raise

    def _begun(self, order: StartSession) -> msgspec.Struct | Later:
        """Begin with a session; a new one is answered once it is durable, with what it shares."""
        begun = self._runtime.begin(order_of(order), run=order.run)
        if not isinstance(begun, Opening):
            return _accepted_start(begun, order)
        begun.when_durable(lambda: self._runtime.system.deliver(self.actor_urn, begun))
        return Later(begun.session, lambda session: encode(_accepted_start(session, order)))

    def _carried_out(self, order: Order) -> msgspec.Struct:
        match order:
            case (
                StartSession()
                | ResumeSession()
                | ForkSession()
                | PauseSession()
                | CancelSession()
                | RemoveSession()
                | BeginPhases()
            ):
                accepted = self._accepted(order)
                if isinstance(order, BeginPhases) and order.request_id:
                    self._answers[order.request_id] = accepted
                    if len(self._answers) > ANSWERS_MAX:
                        self._answers.popitem(last=False)
                return accepted
            case OpenBreaker() | CloseBreaker() | PruneCheckpoints() | ImportBundle():
                return self._changed(order)
            case _:
                return self._done(order)

    def _accepted(self, order: SessionRequest | BeginPhases) -> Accepted:
        runtime = self._runtime
        match order:
            case BeginPhases():
                run = runtime.run_phases(order.session_id, order.phases)
                return Accepted(session_id=order.session_id, rests=run.is_over)
            case _:
                session = session_of(runtime, order)
                return Accepted(session_id=session.session_id, rests=session.rests)

    def _changed(
        self, order: OpenBreaker | CloseBreaker | PruneCheckpoints | ImportBundle
    ) -> msgspec.Struct:
        runtime = self._runtime
        match order:
            case OpenBreaker():
                return runtime.open_breaker(order.name, by=order.by)
            case CloseBreaker():
                return runtime.close_breaker(order.name, by=order.by)
            case PruneCheckpoints():
                return runtime.prune(order.session_id)
            case ImportBundle():
                return runtime.import_bundle(import_order_of(order), request_id=order.request_id)
            case _:
                assert_never(order)

    def _done(
        self,
        order: RetryFailed
        | RerunPhase
        | AnswerTask
        | NameCheckpoint
        | TopUpBudget
        | CorrectBooking
        | KeepValues
        | LeaveSafeMode,
    ) -> msgspec.Struct:
        runtime, once = self._runtime, request_id_of(order)
        match order:
            case RerunPhase():
                return runtime.rerun(
                    order.session_id, order.phase, interrupt=order.interrupt, request_id=once
                )
            case NameCheckpoint():
                number = runtime.checkpoint(order.session_id, order.name, request_id=once)
                return CheckpointTaken(number=number)
            case TopUpBudget():
                return runtime.top_up(order.order, request_id=once)
            case RetryFailed():
                runtime.retry(order.session_id, order.task_id, request_id=once)
            case AnswerTask():
                runtime.answer(order.session_id, order.task_id, order.answer, request_id=once)
            case CorrectBooking():
                runtime.correct(order.order)
            case KeepValues():
                runtime.keep_values(order.values)
            case LeaveSafeMode():
                runtime.hosting.leave_safe_mode()
            case _:
                assert_never(order)
        return Done()


class Custodian(MessageActor):
    """Looks after the state directory; an order need not wait for a long look."""

    INBOX: ClassVar = msgspec.msgpack.Decoder(StateRequest)

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    def handle(self, message: StateRequest) -> StoreInfo | VerifyReport | BackedUp:
        """Answer when it is done; whoever asked hears of errors."""
        match message:
            case GetStateInfo():
                return self._store.info()
            case VerifyState():
                return self._store.verify()
            case BackUpState():
                self._store.backup(message.destination)
                return BackedUp(path=message.destination)
            case _:
                assert_never(message)


def _accepted_start(session: "Session", order: StartSession) -> Accepted:
    return Accepted(session_id=session.session_id, rests=not order.run or session.rests)


def session_of(runtime: "Runtime", order: SessionRequest) -> "Session":
    """Have a session run or stop, and return it. Raises what the verb of the runtime does."""
    match order:
        case StartSession():
            start = order_of(order)
            return runtime.attach(start) if order.attach else runtime.run(start)
        case ResumeSession():
            return runtime.resume(
                order.session_id,
                order.plan,
                team=order.team,
                accept_changes=order.accept_changes,
                request_id=order.request_id,
            )
        case ForkSession():
            return runtime.fork(fork_order_of(order), request_id=order.request_id)
        case PauseSession():
            return runtime.pause(order.session_id, reason=order.reason, interrupt=order.interrupt)
        case CancelSession():
            seconds = order.deadline_seconds
            return runtime.cancel(order.session_id, deadline_seconds=seconds, reason=order.reason)
        case RemoveSession():
            seconds = order.deadline_seconds
            return runtime.remove(
                order.session_id,
                cancel=order.cancel,
                deadline_seconds=seconds,
                request_id=order.request_id,
            )
        case _:
            assert_never(order)
