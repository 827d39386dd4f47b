"""A service of Restate whose steps do nothing.

`python restate_service.py` prints the port it is served at, and serves until it is killed.
"""

import asyncio
import importlib
import socket
from typing import Any

from maestro_runtime.garbage import collect_seldom


def main() -> None:
    """Serve."""
    collect_seldom()
    restate = importlib.import_module("restate")
    service = restate.Service("Bench")

    @service.handler()  # type: ignore[untyped-decorator] # the module is imported by name
    async def run(context: Any, steps: int) -> int:
        for _ in range(steps):
            await context.run_typed("step", step)
        return steps

    listener = socket.create_server(("127.0.0.1", 0))
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.loglevel = "ERROR"
    # The system queues connections from here on, so nobody need wait until it accepts them.
    print(listener.getsockname()[1], flush=True)
    asyncio.run(importlib.import_module("hypercorn.asyncio").serve(restate.app([service]), config))


def step() -> int:
    """Do nothing."""
    return 1


if __name__ == "__main__":
    main()
