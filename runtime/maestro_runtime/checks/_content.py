"""Checks that read files: in a process of their own, because what engines write is hostile.

A regular expression can run for ages and a parser can crash; neither can be stopped in a thread,
and either would stop the whole runtime. The process gets the bytes on its standard input, opens
no file, has bounded memory, and is killed at its time limit. See `_worker`.
"""

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from maestro_actors import checks
from maestro_runtime.checks import _worker
from maestro_runtime.checks._look import Finding, Look, each_file, undecided
from maestro_runtime.engines.driver import Completion, Driver, Invocation

FILE_BYTES_MAX: Final = 8 << 20
"""Largest file that is looked into (8 MiB)."""

CONTENT_BYTES_MAX: Final = 64 << 20
"""Most bytes that one check looks into (64 MiB)."""

CONTENT_SECONDS: Final = 20.0
"""Time limit of one check, over all its files."""

ContentCheck = checks.TextRegex | checks.JsonSchema | checks.PythonCompiles | checks.Parses


class Answer(msgspec.Struct, frozen=True):
    """What the process says; see `_worker`."""

    faults: tuple[str, ...]
    error: str


class ContentChecks:
    """Evaluates checks that read files. Belongs to the loop of its driver."""

    def __init__(self, driver: Driver, limit_seconds: float = CONTENT_SECONDS) -> None:
        self._driver = driver
        self._limit_seconds = limit_seconds

    async def look(self, check: ContentCheck, look: Look) -> Finding:
        """Return what is in the files.

        Raises:
            EngineError: The process cannot be started, or does not die.
            OSError: A file cannot be read.
        """
        if not look.manifest.files:
            return each_file(look.manifest, ())
        request = await asyncio.to_thread(_request, check, look)
        if isinstance(request, str):
            return undecided(request)
        invocation = Invocation(
            call_id=look.order.call_id,
            argv=(sys.executable, "-I", _worker.__file__),
            folder=Path("/"),
            environment={},
            request=request,
        )
        try:
            async with asyncio.timeout(self._limit_seconds):
                completion = await self._driver.run(invocation, look.started)
        except TimeoutError:
            return undecided(f"no answer within {self._limit_seconds:g} s")
        try:
            answer = msgspec.json.decode(completion.stdout.tail, type=Answer)
        except msgspec.DecodeError:
            return undecided(_death(completion))
        if answer.error:
            return undecided(answer.error)
        return each_file(look.manifest, answer.faults)


def _request(check: ContentCheck, look: Look) -> bytes | str:
    """Return what the process reads, or in a few words why there is nothing to send."""
    files = look.manifest.files
    total_bytes = sum(found.size_bytes for found in files.values())
    if total_bytes > CONTENT_BYTES_MAX:
        return f"files of more than {CONTENT_BYTES_MAX} bytes together"
    header = {
        "kind": check.kind,
        "argument": _argument(check),
        "files": [[path, found.size_bytes] for path, found in sorted(files.items())],
    }
    parts = [msgspec.json.encode(header), b"\n"]
    for path, found in sorted(files.items()):
        if found.size_bytes > FILE_BYTES_MAX:
            return f"{path}: more than {FILE_BYTES_MAX} bytes"
        content = look.workspace.read_bytes(path, FILE_BYTES_MAX)
        # Other tasks write in this workspace: what is judged must be what was hashed.
        if content is None or hashlib.sha256(content).hexdigest() != found.sha256:
            return f"{path}: changed while it was checked"
        parts.append(content)
    return b"".join(parts)


def _argument(check: ContentCheck) -> Any:
    """Return what the check says beyond its kind."""
    match check:
        case checks.TextRegex(pattern=pattern):
            return pattern
        case checks.JsonSchema(schema=schema):
            return schema
        case checks.Parses(format=name):
            return name
        case checks.PythonCompiles():
            return None


def _death(completion: Completion) -> str:
    """Say how the process ended without an answer."""
    said = completion.stderr.tail.decode(errors="replace").strip().rpartition("\n")[2]
    return f"the checking process ended with code {completion.exit_code}: {said or 'no output'}"
