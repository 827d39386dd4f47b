"""A daemon that loses something with each session: `python leaky.py memory serve ...`."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from maestro_runtime.cli import main
from maestro_runtime.running.sessions import RunningSessions

LOST: Final[list[object]] = []
LEAK_BYTES: Final = 4 << 20


def leak(kind: str) -> None:
    """Lose something for good."""
    match kind:
        case "memory":
            LOST.append(b"\1" * LEAK_BYTES)
        case "descriptors":
            LOST.append(os.open(os.devnull, os.O_RDONLY))
        case "threads":
            threading.Thread(target=threading.Event().wait, daemon=True).start()


def leaking(kind: str, start: Callable[..., Any]) -> Callable[..., Any]:
    """Return a start of sessions that leaks."""

    def start_and_leak(*arguments: Any, **named: Any) -> Any:
        leak(kind)
        return start(*arguments, **named)

    return start_and_leak


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    sessions = RunningSessions
    sessions.start = leaking(kind, sessions.start)  # type: ignore[method-assign] # that is the leak
    main()
