"""Carries out orders from other processes, by the verbs of the runtime."""

from typing import Final, assert_never

import msgspec

from maestro_actors.messages import encode
from maestro_runtime.runtime import Runtime
from maestro_runtime.wire.errors import RequestInvalid
from maestro_runtime.wire.frames import UNDECODABLE
from maestro_runtime.wire.orders import (
    SUPERVISOR_ADDRESS,
    AnswerTask,
    CancelSession,
    Done,
    NameCheckpoint,
    Order,
    PauseSession,
    RetryFailed,
    Taken,
)

_decode: Final = msgspec.msgpack.Decoder(Order).decode


class Supervisor:
    """Any thread; blocks until what was ordered is durable."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime: Final = runtime

    def carry_out(self, message: bytes) -> bytes:
        """Return the encoded answer to an encoded order.

        Raises:
            RequestInvalid: It is none.
            Exception: As the verb of `Runtime`.
        """
        try:
            order: Order = _decode(message)
        except UNDECODABLE as error:
            raise RequestInvalid(SUPERVISOR_ADDRESS, str(error)) from error
        return encode(self._done(order))

    def _done(self, order: Order) -> Done | Taken:
        runtime, session_id = self._runtime, order.session_id
        match order:
            case PauseSession():
                runtime.pause(session_id, reason=order.reason, interrupt=order.interrupt)
            case CancelSession():
                runtime.cancel(
                    session_id, deadline_seconds=order.deadline_seconds, reason=order.reason
                )
            case RetryFailed():
                runtime.retry(session_id, order.task_id)
            case AnswerTask():
                runtime.answer(session_id, order.task_id, order.answer)
            case NameCheckpoint():
                return Taken(number=runtime.checkpoint(session_id, order.name))
            case _:
                assert_never(order)
        return Done()
