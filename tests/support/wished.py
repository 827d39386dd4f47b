"""A runtime that kills itself the moment an event is durable, and what is wished of its session."""

import os
import signal
from pathlib import Path

from held_work import BOUND_SECONDS, gated_team
from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.testing import Hold, ScriptedEngine
from maestro_storage.records import EventRecord

SESSION = "s-1"


def order(output: str) -> SessionOrder:
    """Return the session that is run, and taken up again."""
    return SessionOrder(gated_team(), SESSION, Path(output))


def main(state: str, output: str, verb: str, last_event: str) -> None:
    """Have a session with a call in flight do what is wished, and die at an event."""

    def strike(event: EventRecord) -> None:
        if event.kind == last_event:
            os.kill(os.getpid(), signal.SIGKILL)

    gate = ScriptedEngine(otherwise=Hold())
    with open_runtime(state, RuntimeOptions(engines=(gate,))) as runtime:
        runtime.subscribe(strike)
        runtime.run(order(output))
        gate.wait_for_calls(1)
        match verb:
            case "pause":
                runtime.pause(SESSION, interrupt=True).result(BOUND_SECONDS)
            case "rerun":
                runtime.rerun(SESSION, "a", interrupt=True)
                gate.wait_for_calls(2)
            case "remove":
                runtime.remove(SESSION, cancel=True).result(BOUND_SECONDS)
            case _:
                runtime.cancel(SESSION).result(BOUND_SECONDS)
