"""A process that dies right after the commit of an order, before anybody hears of it: `main`."""

import os
import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pykka

from maestro_actors.help.answer import Answer
from maestro_runtime import Runtime, RuntimeOptions, open_runtime
from maestro_runtime.top_up import TopUpOrder
from maestro_storage import StoreOptions

SESSION: Final = "s-1"
BOUND_SECONDS: Final = 20.0

Order = Callable[[Runtime, bytes], pykka.Future[Any]]

ORDERS: Final[dict[str, Order]] = {
    "retry": lambda runtime, once: runtime.supervisor.retry_failed(
        session_id=SESSION, task_id="c1", request_id=once
    ),
    "rerun": lambda runtime, once: runtime.supervisor.rerun_phase(
        session_id=SESSION, phase="build", request_id=once
    ),
    "remove": lambda runtime, once: runtime.supervisor.remove_session(
        session_id=SESSION, cancel=True, request_id=once
    ),
    "answer": lambda runtime, once: runtime.supervisor.answer_task(
        session_id=SESSION,
        task_id="c1",
        answer=Answer(decision="retry", add_tokens=5),
        request_id=once,
    ),
    "checkpoint": lambda runtime, once: runtime.supervisor.name_checkpoint(
        session_id=SESSION, name="mine", request_id=once
    ),
    "raise": lambda runtime, once: runtime.supervisor.top_up(
        order=TopUpOrder(budget_id="small", amount=Decimal(7), reason="more"), request_id=once
    ),
    "resume": lambda runtime, once: runtime.supervisor.resume_session(
        session_id=SESSION, request_id=once
    ),
    "fork": lambda runtime, once: runtime.supervisor.fork_session(
        session_id=SESSION, base_dir=str(runtime.store.path), request_id=once
    ),
}


class Mortal:
    """Kills the process right after the commit by which an order is known."""

    def __init__(self) -> None:
        self.is_known: Callable[[], bool] = bool

    def before_commit(self, number: int) -> None:
        """Let it be."""

    def after_commit(self, _number: int) -> None:
        """Die: it is durable, and nothing was delivered."""
        if self.is_known():
            os.kill(os.getpid(), signal.SIGKILL)


def opened(state: Path, observer: Mortal | None = None) -> Runtime:
    """Open the runtime."""
    store = StoreOptions(ballast_bytes=1 << 16)
    return open_runtime(state, RuntimeOptions(observer=observer, store=store))


def main(state: Path, order: str, once: bytes) -> None:
    """Give the order, and die."""
    observer = Mortal()
    with opened(state, observer) as runtime:
        observer.is_known = lambda: runtime.store.requests.get(once) is not None
        ORDERS[order](runtime, once).get(timeout=BOUND_SECONDS)
