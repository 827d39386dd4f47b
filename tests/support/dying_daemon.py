"""A daemon that dies between an order's commit and its answer: `python dying_daemon.py serve`."""

import os
import signal
from typing import Any

import msgspec

from maestro_actors.kernel import Later
from maestro_runtime import runtime
from maestro_runtime.cli import main
from maestro_runtime.starting.openings import Opening
from maestro_runtime.supervisor import Supervisor


class DyingSupervisor(Supervisor):
    """Carries out one order, which is its last."""

    def handle(self, message: Any) -> msgspec.Struct | Later | None:
        """Die: it is durable, and nobody hears of it."""
        # The first transition of a session comes back when it is durable.
        answer = None if isinstance(message, Opening) else super().handle(message)
        if not isinstance(answer, Later):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


if __name__ == "__main__":
    vars(runtime)["Supervisor"] = DyingSupervisor
    main()
