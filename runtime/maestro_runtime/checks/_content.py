"""Checks that read files: in a process of their own, because what engines write is hostile.

A regular expression can run for ages and a parser can crash; neither can be stopped in a thread,
and either would stop the whole runtime. The process gets the bytes on its standard input, opens
no file, has bounded memory, and is killed at its time limit. See `_worker`.
"""

import asyncio
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from maestro_actors import checks
from maestro_runtime.checks import _worker
from maestro_runtime.checks._look import Finding, Look, each_file, undecided
from maestro_runtime.engines.driver import Completion, Driver, Invocation
from maestro_runtime.engines.protocol import EngineContext

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
    failed: tuple[str, ...]
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
        contents = await asyncio.to_thread(_contents, look)
        if isinstance(contents, str):
            return undecided(contents)
        answer = await self._ask(check, contents, look.order.call_id, look.context)
        if answer.error:
            return undecided(answer.error)
        return each_file(look.manifest, answer.faults)

    async def failing(
        self,
        check: ContentCheck,
        contents: Mapping[str, bytes],
        call_id: str,
        context: EngineContext,
    ) -> frozenset[str] | None:
        """Return the names of the contents that fail a check; None if it cannot be evaluated.

        Nothing is read from the disk: the contents are what files might hold.

        Raises:
            EngineError: The process cannot be started, or does not die.
        """
        answer = await self._ask(check, contents, call_id, context)
        return None if answer.error else frozenset(answer.failed)

    async def _ask(
        self,
        check: ContentCheck,
        contents: Mapping[str, bytes],
        call_id: str,
        context: EngineContext,
    ) -> Answer:
        """Have the process judge; an answer that does not come is an error."""
        invocation = Invocation(
            call_id=call_id,
            argv=(sys.executable, "-I", _worker.__file__),
            folder=Path("/"),
            environment={},
            request=_request(check, contents),
        )
        try:
            async with asyncio.timeout(self._limit_seconds):
                completion = await self._driver.run(invocation, context)
        except TimeoutError:
            return Answer((), (), f"no answer within {self._limit_seconds:g} s")
        try:
            return msgspec.json.decode(completion.stdout.tail, type=Answer)
        except msgspec.DecodeError:
            return Answer((), (), _death(completion))


def _contents(look: Look) -> dict[str, bytes] | str:
    """Return what is in the files, or in a few words why it is not looked into."""
    files = look.manifest.files
    total_bytes = sum(found.size_bytes for found in files.values())
    if total_bytes > CONTENT_BYTES_MAX:
        return f"files of more than {CONTENT_BYTES_MAX} bytes together"
    contents = {}
    for path, found in sorted(files.items()):
        if found.size_bytes > FILE_BYTES_MAX:
            return f"{path}: more than {FILE_BYTES_MAX} bytes"
        content = look.workspace.read_bytes(path, FILE_BYTES_MAX)
        # Other tasks write in this workspace: what is judged must be what was hashed.
        if content is None or hashlib.sha256(content).hexdigest() != found.sha256:
            return f"{path}: changed while it was checked"
        contents[path] = content
    return contents


def _request(check: ContentCheck, contents: Mapping[str, bytes]) -> bytes:
    """Return what the process reads."""
    header = {
        "kind": check.kind,
        "argument": _argument(check),
        "files": [[name, len(content)] for name, content in contents.items()],
    }
    return b"".join((msgspec.json.encode(header), b"\n", *contents.values()))


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
