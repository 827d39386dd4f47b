"""Functions of the `python` engine that do nothing: what is left is the runtime's own cost."""

import asyncio
import os

from maestro_runtime.engines.errors import Transient

HANG = "MAESTRO_BENCH_HANG"
"""Set in the environment of a process that is to be killed."""


async def work(_task: object) -> None:
    """Return at once."""


async def fail(_task: object) -> None:
    """Fail at once, as an engine does that may be asked again."""
    raise Transient("not now")


async def wait_for_the_end(_task: object) -> None:
    """Stay in flight until the process is gone; in another process, return at once."""
    if HANG in os.environ:
        await asyncio.Event().wait()
