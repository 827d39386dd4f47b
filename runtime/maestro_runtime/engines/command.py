"""The `command` engine: a program does the persona's work.

The program is started with the workspace as its working directory. Standard input is one JSON
object, `Request`. The environment holds what `driver` passes on, what the persona declares, and

- `MAESTRO_SESSION_ID`, `MAESTRO_TASK_ID`, `MAESTRO_CALL_ID`
- `MAESTRO_ATTEMPT`: the n-th attempt of the task over all rounds, 1-based
- `MAESTRO_INPUT_DIR`: if the session works on a source tree
- `MAESTRO_RESULT`: where it may write a JSON object, `Report`
"""

import asyncio
import os
import shutil
from pathlib import PurePath
from typing import Any, Final

import msgspec

from maestro_actors.engine import CallOrder, Usage
from maestro_actors.errors import UsageInvalid
from maestro_actors.team import CommandSpec, Contract, Persona
from maestro_runtime.edits import EditPlan
from maestro_runtime.engines._file_digest import file_digest
from maestro_runtime.engines._reported import ReportedUsage
from maestro_runtime.engines._variables import filled, named
from maestro_runtime.engines.driver import Completion, Driver, Invocation
from maestro_runtime.engines.errors import (
    EngineCrashed,
    MalformedOutput,
    Permanent,
    Transient,
)
from maestro_runtime.engines.protocol import (
    Engine,
    EngineContext,
    EngineResult,
    Health,
    tokens_in,
)
from maestro_runtime.workspace import Workspace

REPORTS_FOLDER: Final = ".maestro/calls"

REPORT_BYTES_MAX: Final = 8 << 20
"""Largest report that is read (8 MiB): room for the largest edit plan, escaped."""

EVIDENCE_BYTES_MAX: Final = 2_000
"""How much of the end of the output becomes evidence."""

MESSAGE_BYTES_MAX: Final = 16_384
"""How much of the end of standard output becomes the message."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the program reads from standard input; see `CallOrder` for the fields."""

    version: int = 1
    """Grows when a field changes its meaning; new fields may appear without that."""
    session_id: str
    task_id: str
    call_id: str
    round: int
    attempt: int
    ordinal: int
    persona_id: str
    requirement: str
    contract: Contract
    workspace: str
    input_dir: str | None
    feedback: tuple[str, ...]
    token_budget: int
    options: dict[str, Any]
    seed: int
    scope: tuple[str, ...] = ()
    inputs: dict[str, Any] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the program may write to `MAESTRO_RESULT`; unknown fields are passed over."""

    usage: ReportedUsage | None = None
    """None: tokens are estimated from the bytes of request and output."""
    message: str | None = None
    """None: the end of standard output is the message."""
    edits: msgspec.Raw = msgspec.Raw(b"null")
    """An `EditPlan`. Read last, so that a wrong edit does not cost the count of tokens."""
    decisions: dict[str, Any] = {}
    """What was chosen on the way; see `EngineResult`."""


class CommandEngine(Engine):
    """Runs the persona's `command`.

    Exit code 0 means that the work is done, any other a transient failure, death by a signal a
    crash. Nothing the program started is alive when a call has ended.
    """

    name = "command"

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def preflight(self, persona: Persona) -> Health:
        """Look for the program. One with a relative path is looked for in the workspace, later."""
        command = persona.command
        if command is None or not command.argv:
            return Health(ok=False, detail=f"persona {persona.persona_id!r} has no command")
        program = command.argv[0]
        for name in named(command.environment):
            if name not in os.environ:
                return Health(ok=False, detail=_unset(name))
        path = command.environment.get("PATH", os.environ.get("PATH"))
        is_relative = "/" in program and not program.startswith("/")
        if not is_relative and shutil.which(program, path=path) is None:
            return Health(ok=False, detail=f"program {program!r} is not found or not executable")
        return Health(ok=True)

    def endpoint(self, persona: Persona) -> str:
        """Return the program, or the script that it interprets, by its file name."""
        argv = () if persona.command is None else persona.command.argv[:2]
        scripts = [item for item in argv[1:] if item.startswith("/")]
        return PurePath((scripts or list(argv) or [""])[0]).name

    def version(self, persona: Persona) -> str:
        """Return the arguments, with the digest of each that is a program or a file."""
        command = persona.command
        if command is None or not command.argv:
            return ""
        argv = command.argv
        path = command.environment.get("PATH", os.environ.get("PATH"))
        files = (shutil.which(argv[0], path=path) or "", *argv[1:])
        return "\0".join(
            f"{item}\0{file_digest(file) if file.startswith('/') else ''}"
            for item, file in zip(argv, files, strict=True)
        )

    def estimate(self, order: CallOrder) -> int:
        """Return the tokens of the request; what the program adds cannot be told before."""
        return tokens_in(len(_request_of(order)))

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        """Run the program once.

        Raises:
            EngineError: See the class.
        """
        command = order.persona.command
        if command is None or not command.argv:
            raise Permanent(f"persona {order.persona.persona_id!r} has no command")
        request = _request_of(order)
        request_usage = Usage(input_tokens=tokens_in(len(request)))
        invocation = await asyncio.to_thread(_prepare, order, command, request)

        def begins() -> None:
            # From here on the program can read the request.
            context.usage = request_usage

        try:
            completion = await self._driver.run(invocation, context, begins)
        except BaseException:
            # Stopped at its limit, or crashed: what it has reported until then is spent.
            report = await asyncio.to_thread(_read_report, order)
            if isinstance(report, Report) and report.usage is not None:
                context.usage = report.usage.on("provider")
            raise
        return _judge(completion, await asyncio.to_thread(_read_report, order), context)

    async def recover(self, order: CallOrder) -> Usage | None:
        """Read what the program reported before it was interrupted."""
        report = await asyncio.to_thread(_read_report, order)
        if not isinstance(report, Report) or report.usage is None:
            return None
        return report.usage.on("provider")

    async def close(self) -> None:
        """Kill what runs."""
        await self._driver.close()


def _unset(name: str) -> str:
    return f"environment of the command refers to variable {name!r}, which is not set"


def _report_path(order: CallOrder) -> str:
    """Return the report's place in the workspace; hidden, so that no glob finds it by accident."""
    return f"{REPORTS_FOLDER}/{order.call_id}.json"


def _request_of(order: CallOrder) -> bytes:
    """Return what goes to standard input."""
    request = Request(
        session_id=order.session_id,
        task_id=order.task_id,
        call_id=order.call_id,
        round=order.round,
        attempt=order.attempt,
        ordinal=order.ordinal,
        persona_id=order.persona.persona_id,
        requirement=order.requirement,
        contract=order.contract,
        workspace=order.workspace,
        input_dir=order.input_dir,
        feedback=order.feedback,
        token_budget=order.token_budget,
        options=order.persona.options,
        seed=order.seed,
        scope=order.scope,
        inputs=order.inputs,
    )
    return msgspec.json.encode(request)


def _prepare(order: CallOrder, command: CommandSpec, request: bytes) -> Invocation:
    """Make the folders, remove a report that stands where this call's goes, name everything.

    Raises:
        PathEscapes: Somebody put a link where the report goes.
        Permanent: The command takes over a variable that is not set.
    """
    workspace = Workspace(order.workspace)
    path = _report_path(order)
    reports = workspace.make_folder(REPORTS_FOLDER)
    workspace.remove(path)
    try:
        declared = filled(command.environment, os.environ)
    except KeyError as error:
        raise Permanent(_unset(str(error.args[0]))) from error
    environment = {
        **declared,
        "MAESTRO_SESSION_ID": order.session_id,
        "MAESTRO_TASK_ID": order.task_id,
        "MAESTRO_ATTEMPT": str(order.ordinal),
        "MAESTRO_RESULT": str(reports / f"{order.call_id}.json"),
    }
    if order.input_dir is not None:
        environment["MAESTRO_INPUT_DIR"] = order.input_dir
    return Invocation(
        call_id=order.call_id,
        argv=command.argv,
        folder=workspace.root,
        environment=environment,
        request=request,
    )


def _read_report(order: CallOrder) -> Report | str:
    """Return the program's report, or in a sentence why it cannot be believed."""
    try:
        content = Workspace(order.workspace).read_bytes(_report_path(order), REPORT_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        return f"report cannot be read: {error}"
    if content is None:
        return Report()
    if len(content) > REPORT_BYTES_MAX:
        return f"report must have at most {REPORT_BYTES_MAX} bytes"
    try:
        report = msgspec.json.decode(content, type=Report)
        if report.usage is not None:
            report.usage.on("provider").check()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, UsageInvalid) as error:
        return f"report is not valid: {error}"
    return report


def _judge(completion: Completion, report: Report | str, context: EngineContext) -> EngineResult:
    """Turn the end of a program into a result; usage first, whatever the exit code.

    Raises:
        EngineError: The program failed, or its report cannot be read.
    """
    usage = Usage(
        input_tokens=context.usage.input_tokens,
        output_tokens=tokens_in(completion.stdout.total_bytes),
    )
    if isinstance(report, Report) and report.usage is not None:
        usage = report.usage.on("provider")
    tail = completion.stderr.tail.strip() or completion.stdout.tail.strip()
    said = tail[-EVIDENCE_BYTES_MAX:].decode(errors="replace")
    if completion.exit_code < 0:
        raise EngineCrashed(f"program died of signal {-completion.exit_code}: {said}", usage)
    if completion.exit_code > 0:
        raise Transient(f"program ended with exit code {completion.exit_code}: {said}", usage)
    if isinstance(report, str):
        raise MalformedOutput(report, usage)
    message = report.message
    if message is None:
        message = completion.stdout.tail[-MESSAGE_BYTES_MAX:].decode(errors="replace")
    try:
        edits = msgspec.json.decode(report.edits, type=EditPlan | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedOutput(f"edits of the report are not valid: {error}", usage) from error
    return EngineResult(usage=usage, message=message, edits=edits, decisions=report.decisions)
