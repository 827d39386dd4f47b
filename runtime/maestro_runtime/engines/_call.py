"""One call: the manifest before, the engine under its time limit, the manifest after."""

import asyncio
from collections.abc import Coroutine, Mapping
from itertools import chain
from typing import Any, Final, Literal, TypeVar

import msgspec

from maestro_actors.checks import ChangedSinceStart
from maestro_actors.engine import CallOrder, FailureClass, Outcome, Usage
from maestro_actors.errors import TokenBudgetExceeded
from maestro_actors.team import Persona
from maestro_runtime.edits import EditPlan, EditRejected, apply_plan, has_journal, roll_forward
from maestro_runtime.engines._claims import claimed_missing
from maestro_runtime.engines._mending import faults_of, is_better, withdraw
from maestro_runtime.engines.errors import (
    EngineCrashed,
    EngineError,
    EngineTimeout,
    MalformedOutput,
    Permanent,
    UnknownEngine,
)
from maestro_runtime.engines.protocol import (
    Checker,
    Engine,
    EngineContext,
    EngineResult,
    Mender,
    tokens_in,
)
from maestro_runtime.engines.registry import EngineRegistry
from maestro_runtime.workspace import (
    Fingerprint,
    GlobEscapes,
    Manifest,
    PathEscapes,
    Workspace,
    WorkspaceTooLarge,
    diff,
)

EVIDENCE_CHARACTERS_MAX: Final = 4_000
"""Longest sentence of evidence."""

MESSAGE_CHARACTERS_MAX: Final = 16_384
"""Longest closing message that is kept."""

RETRY_AFTER_SECONDS_MAX: Final = 86_400.0
"""Longest pause an engine may ask for; a longer one is not believed."""

ABANDON_SECONDS: Final = 30.0
"""How long an engine may take to stop; then the call ends without it."""

T = TypeVar("T")

LASTING: Final[dict[type[BaseException], FailureClass]] = {
    PermissionError: "permanent",
    TokenBudgetExceeded: "limit",
}
"""Exceptions, foreign to the protocol, that another attempt would meet again."""

StopReason = Literal["timeout", "cancelled", "closed"]

INTERRUPTIONS: Final = {"cancelled": "call was cancelled", "closed": "engine host was closed"}


class Call:
    """One use of an engine. Belongs to the host's event loop."""

    def __init__(
        self,
        order: CallOrder,
        registry: EngineRegistry,
        context: EngineContext,
        checker: Checker | None,
        mender: Mender | None,
    ) -> None:
        self._order = order
        self._registry = registry
        self._context = context
        self._checker = checker
        self._mender = mender
        self._reason: StopReason | None = None
        self._task: asyncio.Task[Any] | None = None
        self._abandoned: asyncio.Future[None] | None = None
        self._notes: tuple[str, ...] = ()
        """What edit plans could not do, though they are done with."""

    def stop(self, reason: StopReason) -> None:
        """Cancel engine or checks; the first reason counts, and what is done stays done."""
        if self._reason is not None or (self._task is not None and self._task.done()):
            return
        self._reason = reason
        if self._task is not None:
            self._task.cancel()
            asyncio.get_running_loop().call_later(ABANDON_SECONDS, self._abandon)

    def _abandon(self) -> None:
        """Wait no longer for an engine that does not stop."""
        if self._abandoned is not None and not self._abandoned.done():
            self._abandoned.set_result(None)

    async def outcome(self) -> Outcome:
        """Serve the call to its end; whatever goes wrong is in the outcome."""
        loop = asyncio.get_running_loop()
        begun_seconds = loop.time()
        try:
            outcome = await self._observed()
        except WorkspaceTooLarge as error:
            outcome = Outcome(usage=self._context.usage, failure="limit", evidence=(str(error),))
        except GlobEscapes as error:
            outcome = Outcome(
                usage=self._context.usage, failure="permanent", evidence=(str(error),)
            )
        except Exception as error:  # noqa: BLE001 - every call is answered, also if we are wrong
            outcome = _failed(error, self._context.usage)
        return msgspec.structs.replace(
            outcome,
            evidence=outcome.evidence + self._notes,
            duration_seconds=loop.time() - begun_seconds,
        )

    async def _observed(self) -> Outcome:
        """Run the engine between two looks at the disk; none without deliverables or checks."""
        contract = self._order.contract
        owed = contract.owed_checks
        workspace = Workspace(self._order.workspace)
        if has_journal(workspace):
            # A crash may have left a plan half applied; nobody is to work on that.
            self._notes = await asyncio.to_thread(roll_forward, workspace)
        if not contract.globs and not owed:
            return await self._worked()
        compared = [globs for check, globs in owed if isinstance(check, ChangedSinceStart)]
        looked_at = tuple(dict.fromkeys(chain(contract.globs, *compared)))
        before = await asyncio.to_thread(workspace.manifest, looked_at)
        outcome = await self._worked()
        # If looking fails now, the tokens are spent all the same.
        self._context.usage = outcome.usage
        if outcome.failure == "interrupted":
            return outcome
        examined = await self._examined(outcome, before.files)
        mender = self._mender
        if outcome.failure is not None or mender is None or not faults_of(examined):
            return examined
        return await self._mended(mender, outcome, examined, before.files)

    async def _examined(self, outcome: Outcome, before: Mapping[str, Fingerprint]) -> Outcome:
        """Add what is on disk, and if the engine ended well, what the checks say to it."""
        workspace = Workspace(self._order.workspace)
        after = await asyncio.to_thread(_observe, workspace, self._order, before)
        held = self._held_against(outcome, before, after)
        return held if outcome.failure is not None else await self._checked(held, before)

    async def _mended(
        self,
        mender: Mender,
        outcome: Outcome,
        examined: Outcome,
        before: Mapping[str, Fingerprint],
    ) -> Outcome:
        """Repair what can be repaired without the engine, and look again."""
        workspace = Workspace(self._order.workspace)
        try:
            mending = await self._unless_stopped(mender.mend(self._order, examined, self._context))
            if mending is None:
                return self._cut_short(outcome.usage)
            if not mending.edits:
                return msgspec.structs.replace(examined, healing=mending.notes)
            call_id = self._order.call_id
            applied = await asyncio.to_thread(apply_plan, workspace, call_id, mending.edits)
        except (EditRejected, EngineError, PathEscapes) as error:
            # The work is as good as it was.
            return msgspec.structs.replace(examined, healing=(f"repair failed: {error}",))
        self._notes += applied.notes
        again, what = await self._examined(outcome, before), "created"
        if mending.created and not is_better(again, examined):
            await asyncio.to_thread(withdraw, workspace, mending.created)
            again, what = await self._examined(outcome, before), "created in vain"
        notes = (*mending.notes, *(f"{what}: {path}" for path in mending.created))
        return msgspec.structs.replace(again, healing=notes)

    async def _checked(self, outcome: Outcome, before: Mapping[str, Fingerprint]) -> Outcome:
        """Add what came of the contract's checks; each of them has a time limit of its own."""
        if self._checker is None or not self._order.contract.owed_checks:
            return outcome
        checking = self._checker.check(self._order, before, self._context)
        results = await self._unless_stopped(checking)
        if results is None:
            return self._cut_short(outcome.usage)
        return msgspec.structs.replace(outcome, checks=results)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what comes of work that a stop cancels; None if it was stopped."""
        if self._reason is not None:
            work.close()
            return None
        task = self._task = asyncio.get_running_loop().create_task(work)
        await asyncio.wait({task})
        self._task = None
        return None if task.cancelled() else task.result()

    def _cut_short(self, usage: Usage) -> Outcome:
        return _interrupted(self._reason or "cancelled", usage)

    def _held_against(
        self, outcome: Outcome, before: Mapping[str, Fingerprint], after: Manifest
    ) -> Outcome:
        """Add what is on disk to what the engine came to."""
        missing = tuple(
            f"deliverable {item.name!r}: no file matches {glob!r}"
            for item in self._order.contract.deliverables
            for glob in item.artifacts
            if glob in after.missing
        )
        failure = outcome.failure
        if failure is None and missing:
            failure = "missing_deliverable"
        claimed = claimed_missing(
            outcome.message, self._order.workspace, self._order.contract.globs, after.files
        )
        unfounded = tuple(f"engine names {path!r}, and there is no such file" for path in claimed)
        return msgspec.structs.replace(
            outcome,
            failure=failure,
            evidence=(*outcome.evidence, *missing, *unfounded, *after.refused),
            artifacts=diff(before, after),
            missing=after.missing,
            claimed_missing=claimed,
        )

    async def _worked(self) -> Outcome:
        """Run the engine under the call's time limit."""
        if self._reason is not None:
            return _interrupted(self._reason, self._context.usage)
        try:
            engine = self._registry.get(self._order.persona.engine)
        except UnknownEngine as error:
            return _failed(Permanent(str(error)), Usage())
        except EngineError as error:
            return _failed(error, Usage())
        loop = asyncio.get_running_loop()
        limit_seconds = _limit_seconds(self._order.persona)
        self._task = loop.create_task(_run(engine, self._order, self._context))
        timer = loop.call_later(limit_seconds, self.stop, "timeout")
        self._abandoned = loop.create_future()
        ends: set[asyncio.Future[Any]] = {self._task, self._abandoned}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        task, self._task = self._task, None
        outcome = _countable(self._judged(task, limit_seconds), self._order)
        if outcome.failure is None and (edits := task.result().edits):
            outcome = await self._edited(outcome, edits)
        return outcome

    async def _edited(self, outcome: Outcome, edits: EditPlan) -> Outcome:
        """Apply what the engine wants changed."""
        # If the disk refuses now, the tokens are spent all the same.
        self._context.usage = outcome.usage
        order = self._order
        workspace = Workspace(order.workspace)
        try:
            applied = await asyncio.to_thread(apply_plan, workspace, order.call_id, edits)
        except EditRejected as error:
            rejected = _failed(MalformedOutput(str(error)), outcome.usage)
            return msgspec.structs.replace(rejected, message=outcome.message)
        self._notes += applied.notes
        saved = tokens_in(applied.full_bytes) - tokens_in(applied.plan_bytes)
        return msgspec.structs.replace(outcome, tokens_saved=max(0, saved))

    def _judged(self, task: asyncio.Task[EngineResult], limit_seconds: float) -> Outcome:
        """Turn the end of the engine's task into an outcome."""
        notes: tuple[str, ...] = ()
        error: BaseException | None = None
        usage = self._context.usage
        if not task.done():
            notes = (f"engine did not stop within {ABANDON_SECONDS:g} s",)
            # Nobody will ask for the exception of a task that is left behind.
            task.add_done_callback(lambda late: late.cancelled() or late.exception())
        elif task.cancelled():
            error = EngineError("engine cancelled its own call")
        elif (error := task.exception()) is not None:
            usage = _usage_after(error, usage)
        else:
            result = task.result()
            usage = result.usage
        if self._reason is None:
            if error is not None:
                return _failed(error, usage)
            return Outcome(usage=usage, message=_cut(result.message, MESSAGE_CHARACTERS_MAX))
        if isinstance(error, EngineError) and not task.cancelled():
            notes = (_cut(str(error), EVIDENCE_CHARACTERS_MAX),)
        if self._reason == "timeout":
            stopped = _failed(EngineTimeout(f"exceeded its limit of {limit_seconds:g} s"), usage)
        else:
            stopped = _interrupted(self._reason, usage)
        return msgspec.structs.replace(stopped, evidence=stopped.evidence + notes)


async def _run(engine: Engine, order: CallOrder, context: EngineContext) -> EngineResult:
    """Run an engine, holding what is foreign code to the protocol."""
    try:
        result: object = await engine.run(order, context)
    except (SystemExit, KeyboardInterrupt) as error:
        # Let through, it would end the host's event loop with every call on it.
        raise EngineCrashed(f"engine raised {type(error).__name__}") from error
    if not isinstance(result, EngineResult):
        raise MalformedOutput(f"engine must return an EngineResult, got {type(result).__name__}")
    try:
        edits = msgspec.convert(msgspec.to_builtins(result.edits), EditPlan | None)
    except (msgspec.MsgspecError, TypeError) as error:
        raise MalformedOutput(f"edits returned by engine: {error}", result.usage) from error
    return msgspec.structs.replace(result, edits=edits)


def _observe(workspace: Workspace, order: CallOrder, before: Mapping[str, Fingerprint]) -> Manifest:
    """Take the manifest after a call and make what changed survive a power cut."""
    after = workspace.manifest(order.contract.globs)
    # A finished task never runs again, so its files must be as durable as its record.
    workspace.sync(path for path, found in after.files.items() if before.get(path) != found)
    return after


def _limit_seconds(persona: Persona) -> float:
    """Return the wall-clock limit of a call: the command's own, if it has one."""
    command = persona.command if persona.engine == "command" else None
    if command is None or command.timeout_seconds is None:
        return persona.timeout_seconds
    return command.timeout_seconds


def _usage_after(error: BaseException, booked: Usage) -> Usage:
    """Return the tokens of a call that failed: the error's own count, or what was booked."""
    if isinstance(error, EngineError) and error.usage is not None:
        return error.usage
    return booked


def _countable(outcome: Outcome, order: CallOrder) -> Outcome:
    """Return an outcome whose usage can be booked: this one, or the failure that it is."""
    usage: object = outcome.usage
    fault = usage.fault if isinstance(usage, Usage) else f"usage must be a Usage, got {usage!r}"
    if not fault:
        return outcome
    # Whoever counts wrong has used something all the same: at most what was reserved for it.
    return msgspec.structs.replace(
        outcome,
        usage=Usage(input_tokens=order.token_budget, basis="reserved"),
        failure=outcome.failure or "malformed_output",
        evidence=(*outcome.evidence, _cut(f"engine miscounts: {fault}", EVIDENCE_CHARACTERS_MAX)),
    )


def _failed(error: BaseException, usage: Usage) -> Outcome:
    """Return the outcome of a call that an exception ended."""
    if not isinstance(error, EngineError):
        # Type and text only: a traceback could show secrets.
        evidence = _cut(f"{type(error).__name__}: {error}", EVIDENCE_CHARACTERS_MAX)
        failure = next((name for kind, name in LASTING.items() if isinstance(error, kind)), None)
        return Outcome(usage=usage, failure=failure or "transient", evidence=(evidence,))
    pause_seconds = error.retry_after_seconds
    if pause_seconds is not None and not 0 <= pause_seconds <= RETRY_AFTER_SECONDS_MAX:
        pause_seconds = None
    return Outcome(
        usage=usage,
        failure=error.failure,
        evidence=(_cut(str(error), EVIDENCE_CHARACTERS_MAX),),
        engine_fault=error.engine_fault,
        retry_after_seconds=pause_seconds,
    )


def _interrupted(reason: StopReason, usage: Usage) -> Outcome:
    """Return the outcome of a call that somebody ended."""
    return Outcome(usage=usage, failure="interrupted", evidence=(INTERRUPTIONS[reason],))


def _cut(text: str, characters_max: int) -> str:
    """Shorten foreign text and make it encodable."""
    return text[:characters_max].encode(errors="replace").decode()
