"""Orders about a state that nobody owns: carried out on its records, without starting anything."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import msgspec

from maestro_actors.messages import CheckpointTaken, Request
from maestro_runtime.wire.orders import (
    Accepted,
    AnswerTask,
    CloseBreaker,
    CorrectBooking,
    Done,
    ImportBundle,
    NameCheckpoint,
    OpenBreaker,
    PruneCheckpoints,
    RemoveSession,
    RerunPhase,
    RetryFailed,
    TopUpBudget,
)
from maestro_storage import Records, StateView, Store

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)


class AtRest:
    """A state directory that this process looks at, and owns while it changes something."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = ExitStack()
        self._view: StateView | None = None
        self._store: Store | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def records(self) -> Records:
        """What is on record.

        Raises:
            NotFound: There is no state; none is made by looking.
            StateOwned: Another process has taken it meanwhile.
        """
        return self._store or self._look()

    def carry_out(self, order: Request[ReplyT]) -> ReplyT:
        """Carry out an order; durable on return.

        Raises:
            NotFound: There is no state; only an import makes one.
            Exception: What the verb of `Runtime` does.
        """
        if not isinstance(order, ImportBundle) and self._store is None:
            self._look()
        return cast("ReplyT", _changed(self._owned(), order, time.time_ns() // 1_000_000))

    def runs(self, session_id: str) -> bool:
        """Whether the session goes on by itself: nobody runs anything here."""
        return False

    def _look(self) -> Records:
        if self._view is None:
            self._view = self._held.enter_context(Store.inspect(self._path))
        return self._view

    def _owned(self) -> Store:
        if self._store is None:
            # Whoever looks owns it, too.
            self._held.close()
            self._view = None
            self._store = self._held.enter_context(Store.open(self._path))
        return self._store


def _changed(store: Store, order: Any, now_ms: int) -> msgspec.Struct:  # noqa: PLR0911 - one case an order
    from maestro_runtime import checkpoints
    from maestro_runtime.at_rest import sessions
    from maestro_runtime.wire.session_order import import_order_of

    match order:
        case RetryFailed():
            sessions.retry_at_rest(store, order.session_id, order.task_id, now_ms)
            return Done()
        case RerunPhase():
            return sessions.rerun_at_rest(store, order.session_id, order.phase, now_ms)
        case RemoveSession():
            sessions.remove_at_rest(store, order.session_id)
            return Accepted(session_id=order.session_id, rests=True)
        case NameCheckpoint():
            number = checkpoints.checkpoint_at_rest(store, order.session_id, order.name, now_ms)
            return CheckpointTaken(number=number)
        case PruneCheckpoints():
            return checkpoints.prune(store, order.session_id, now_ms)
        case ImportBundle():
            return checkpoints.import_bundle(store, import_order_of(order), now_ms)
        case _:
            return _booked(store, order, now_ms)


def _booked(store: Store, order: Any, now_ms: int) -> msgspec.Struct:
    from maestro_runtime.at_rest.answer import answer_at_rest
    from maestro_runtime.at_rest.breakers import open_at_rest, reset_at_rest
    from maestro_runtime.at_rest.correction import correct
    from maestro_runtime.at_rest.top_up import top_up

    match order:
        case AnswerTask():
            answer_at_rest(store, order.session_id, order.task_id, order.answer)
        case TopUpBudget():
            return top_up(store, order.order, now_ms)
        case CorrectBooking():
            correct(store, order.order)
        case OpenBreaker():
            return open_at_rest(store, order.name, order.by)
        case CloseBreaker():
            return reset_at_rest(store, order.name, order.by)
        case _:
            raise TypeError(f"{type(order).__name__} needs a runtime")
    return Done()
