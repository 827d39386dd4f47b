"""The check that asks a Python function."""

import asyncio
import inspect
import math
from functools import partial
from typing import Final

import msgspec

from maestro_actors import checks
from maestro_runtime.checks._look import Finding, Look, undecided
from maestro_runtime.engines._importing import import_callable
from maestro_runtime.engines._thread_pool import ThreadPool

CALLABLE_SECONDS: Final = 60.0
"""Time limit of one call; the function runs on in its thread, but nobody listens."""

THREADS_MAX: Final = 8
"""Most functions that run at the same time."""

PASS_SCORE: Final = 0.5
"""A score of at least this passes, unless the function says otherwise with a bool."""

RULE: Final = "function must return a bool, a number from 0 to 1, or either with a reason"


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """What the function of a `callable` check is given."""

    workspace: str
    """Absolute path."""
    files: tuple[str, ...]
    """Paths that the check's globs match, relative to the workspace, in order."""
    contract_id: str
    input_dir: str | None = None
    """Absolute path of the source tree the session works on, if there is one."""


class CallableChecks:
    """Asks functions, in threads, because they are foreign. Belongs to one event loop."""

    def __init__(self, limit_seconds: float = CALLABLE_SECONDS) -> None:
        self._threads = ThreadPool("maestro-check", THREADS_MAX)
        self._limit_seconds = limit_seconds

    async def ask(self, check: checks.Callable, look: Look) -> Finding:
        """Return what the function says; whatever it raises is in the finding."""
        view = CheckView(
            workspace=str(look.workspace.root),
            files=tuple(sorted(look.manifest.files)),
            contract_id=look.order.contract.id,
            input_dir=look.order.input_dir,
        )
        try:
            async with asyncio.timeout(self._limit_seconds):
                finding: Finding = await self._threads.run(partial(_asked, check, view))
        except TimeoutError:
            return undecided(f"no answer within {self._limit_seconds:g} s")
        return finding

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()


def _asked(check: checks.Callable, view: CheckView) -> Finding:
    """Call the function, in this thread."""
    try:
        answer = import_callable(check.callable, check.import_dir)(view)
        if inspect.iscoroutine(answer):
            answer.close()
            return undecided(f"{RULE}, got a coroutine")
        return _finding(answer)
    except BaseException as error:  # noqa: BLE001 - foreign code; none of it may end a thread
        return undecided(f"{type(error).__name__}: {error}")


def _finding(answer: object) -> Finding:
    """Read what a function returned."""
    reason = ""
    match answer:
        case (said, str(reason)):
            pass
        case said:
            pass
    if isinstance(said, bool):
        return Finding("pass" if said else "fail", float(said), reason or str(said))
    if not isinstance(said, int | float) or math.isnan(said) or not 0 <= said <= 1:
        return undecided(f"{RULE}, got {answer!r}")
    reason = reason or f"score {said:g}"
    return Finding("pass" if said >= PASS_SCORE else "fail", float(said), reason)
