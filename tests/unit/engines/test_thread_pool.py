"""A pool on a machine that has no thread for it, for a while."""

import asyncio
import threading

import pytest

from maestro_runtime.engines._thread_pool import ThreadPool
from scarce import no_thread

BOUND_SECONDS = 20.0


def test_a_function_that_gets_no_thread_is_never_run_and_the_next_one_is() -> None:
    pool = ThreadPool("scarce", 1)
    ran: list[str] = []

    async def try_thrice() -> str:
        with no_thread("scarce"), pytest.raises(RuntimeError, match="can't start new thread"):
            await pool.run(lambda: ran.append("refused"))
        await asyncio.wait_for(pool.run(lambda: ran.append("taken")), BOUND_SECONDS)
        name = pool.run(lambda: threading.current_thread().name)
        return str(await asyncio.wait_for(name, BOUND_SECONDS))

    name = asyncio.run(try_thrice())

    assert (name, ran) == ("scarce-1", ["taken"])
    pool.close()
