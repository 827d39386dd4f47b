"""One call: the manifest before, the engine under its time limit, the manifest after."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, TypeVar

import msgspec

from maestro_actors.checks import ChangedSinceStart
from maestro_actors.engine import CallOrder, Outcome, Usage
from maestro_actors.team import Persona
from maestro_actors.text import storable
from maestro_actors.whereabouts import Whereabouts
from maestro_runtime.edits import (
    AppliedPlan,
    EditPlan,
    EditRejected,
    apply_plan,
    has_journal,
    roll_forward,
)
from maestro_runtime.engines._deadlines import Deadlines
from maestro_runtime.engines._mending import faults_of, is_better, withdraw
from maestro_runtime.engines._observation import held_against, observe
from maestro_runtime.engines._outcomes import (
    EVIDENCE_CHARACTERS_MAX,
    StopReason,
    countable,
    decided,
    failed,
    interrupted,
    usage_after,
)
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
    PathEscapes,
    Workspace,
    WorkspaceTooLarge,
)

MESSAGE_CHARACTERS_MAX: Final = 16_384
"""Longest closing message that is kept."""

ABANDON_SECONDS: Final = 30.0
"""How long an engine may take to stop, beside what its programs were given; then the call ends
without it."""

SETTLED_MAX: Final = 1024
"""Workspaces that are known to be settled; if there are more, all are looked at again."""

KILL_SECONDS: Final = 1.0
"""How long it may take to stop once it is killed."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all calls of a host share."""

    registry: EngineRegistry
    checker: Checker | None
    mender: Mender | None
    abandoned: "Callable[[Call, asyncio.Task[Any], Outcome], None]"
    """Gets task and outcome of a call whose engine does not stop."""
    settled: set[str] = field(default_factory=set)
    """Workspaces where no plan of a dead process is left to finish: looking costs each call."""
    deadlines: "Deadlines[Call]" = field(
        default_factory=lambda: Deadlines[Call](lambda call: call.late())
    )


class Call:
    """One use of an engine. Belongs to the host's event loop."""

    def __init__(self, order: CallOrder, context: EngineContext, workshop: Workshop) -> None:
        """Prepare a call."""
        self._order = order
        self._context = context
        self._workshop = workshop
        self._reason: StopReason | None = None
        self.task: asyncio.Task[Any] | None = None
        """Its own, from the moment at which its host has begun it."""
        self._at_work: asyncio.Task[Any] | None = None
        """What a stop cancels: that task, while engine or checks run in it."""
        self._patience = ""
        """How long it may take to stop, in words."""
        self._left_behind = False
        """Its outcome has been told already: nobody waits for the rest."""
        self._notes: tuple[str, ...] = ()
        """What edit plans could not do, though they are done with."""

    def stop(self, reason: StopReason, grace_seconds: float | None = None) -> None:
        """Cancel engine or checks; the first reason counts, and what is done stays done.

        Their programs have the grace to end, or, without one, what the persona's command says, or
        what is usual.
        """
        if self._reason is not None:
            return
        self._reason = reason
        if grace_seconds is None and (command := self._order.persona.command) is not None:
            grace_seconds = command.stop_timeout_seconds
        self._context.grace_seconds = grace_seconds
        if self._at_work is not None:
            self._at_work.cancel()
            patience_seconds = ABANDON_SECONDS + (grace_seconds or 0.0)
            self._abandon_after(patience_seconds, f"within {patience_seconds:g} s")

    def kill(self) -> None:
        """Stop at once: no grace for programs, no patience with an engine that does not end."""
        self.stop("cancelled", 0.0)
        self._context.on_kill()
        self._abandon_after(KILL_SECONDS, "when it was to")

    def _abandon_after(self, seconds: float, when: str) -> None:
        """Wait so long for the end, and for nothing else: its time limit is of no account now."""
        self._patience = when
        self._workshop.deadlines.set(self, seconds)

    def late(self) -> None:
        """Stop, as the time limit has come; or, being stopped already, be waited for no longer."""
        if self._reason is None:
            self.stop("timeout")
        else:
            self._abandon()

    def _abandon(self) -> None:
        """Wait no longer for an engine that does not stop."""
        if self._at_work is not None and not self._left_behind:
            self._left_behind = True
            notes = (f"engine did not stop {self._patience}",)
            stopped = self._stopped(self._context.usage, notes)
            self._workshop.abandoned(self, self._at_work, countable(stopped, self._order))

    @property
    def call_id(self) -> str:
        """32 hex digits, see `CallOrder`."""
        return self._order.call_id

    def whereabouts(self) -> Whereabouts:
        """Say which call this is."""
        order = self._order
        return {
            "session_id": order.session_id,
            "task_id": order.task_id,
            "round": order.round,
            "attempt": order.attempt,
            "call_id": order.call_id,
        }

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
            outcome = failed(error, self._context.usage)
        finally:
            self._workshop.deadlines.drop(self)
        return msgspec.structs.replace(
            outcome,
            evidence=outcome.evidence + self._notes,
            duration_seconds=loop.time() - begun_seconds,
        )

    async def _observed(self) -> Outcome:
        """Run the engine between two looks at the disk; none without deliverables or checks."""
        contract = self._order.contract
        if self._order.workspace not in self._workshop.settled:
            await self._roll_forward()
        if not contract.deliverables and not contract.checks:
            return await self._worked()
        owed = contract.owed_checks
        workspace = Workspace(self._order.workspace)
        compared = [globs for check, globs in owed if isinstance(check, ChangedSinceStart)]
        looked_at = tuple(dict.fromkeys(chain(contract.globs, *compared)))
        before = await asyncio.to_thread(workspace.manifest, looked_at)
        outcome = await self._worked()
        # If looking fails now, the tokens are spent all the same.
        self._context.usage = outcome.usage
        if outcome.failure == "interrupted":
            return outcome
        examined = await self._examined(outcome, before.files)
        mender = self._workshop.mender
        if outcome.failure is not None or mender is None or not faults_of(examined):
            return examined
        return await self._mended(mender, outcome, examined, before.files)

    async def _roll_forward(self) -> None:
        """Finish a plan that a crash has left half applied; nobody is to work on that."""
        workspace = Workspace(self._order.workspace)
        if has_journal(workspace):
            self._notes = await asyncio.to_thread(roll_forward, workspace)
        settled = self._workshop.settled
        if len(settled) >= SETTLED_MAX:
            settled.clear()
        settled.add(self._order.workspace)

    async def _examined(self, outcome: Outcome, before: Mapping[str, Fingerprint]) -> Outcome:
        """Add what is on disk, and if the engine ended well, what the checks say to it."""
        workspace = Workspace(self._order.workspace)
        after = await asyncio.to_thread(observe, workspace, self._order, before)
        held = held_against(self._order, outcome, before, after)
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
            applied = await self._applied(workspace, mending.edits)
        except (EditRejected, EngineError, OSError, PathEscapes) as error:
            # The work is as good as it was; what the disk has refused half way, the next call ends.
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
        checker = self._workshop.checker
        if checker is None or not self._order.contract.owed_checks:
            return outcome
        checking = checker.check(self._order, before, self._context)
        results = await self._unless_stopped(checking)
        if results is None:
            return self._cut_short(outcome.usage)
        return msgspec.structs.replace(outcome, checks=results)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what comes of work that a stop cancels; None if it was stopped."""
        if self._reason is not None:
            work.close()
            return None
        try:
            return await self._stoppable(work)
        except asyncio.CancelledError:
            return None

    async def _stoppable(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that a stop cancels, in the task of this call: another one costs as much."""
        task = self._at_work = self.task
        try:
            return await work
        finally:
            self._at_work = None
            if task is not None and task.cancelling():
                # One that came too late for the work would hit whatever is awaited next.
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                while task.uncancel():
                    pass

    def _cut_short(self, usage: Usage) -> Outcome:
        return interrupted(self._reason or "cancelled", usage)

    async def _worked(self) -> Outcome:
        """Run the engine under the call's time limit."""
        if self._reason is not None:
            return interrupted(self._reason, self._context.usage)
        try:
            engine = self._workshop.registry.get(self._order.persona.engine)
        except UnknownEngine as error:
            return failed(Permanent(str(error)), Usage())
        except EngineError as error:
            return failed(error, Usage())
        limit_seconds = _limit_seconds(self._order.persona)
        self._workshop.deadlines.set(self, limit_seconds)
        ended: EngineResult | BaseException
        try:
            ended = await self._stoppable(_run(engine, self._order, self._context))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - foreign code
            ended = error
        finally:
            self._workshop.deadlines.drop(self)
        if self._left_behind:
            return interrupted("cancelled", self._context.usage)
        outcome = countable(self._judged(ended), self._order)
        if outcome.failure is None and isinstance(ended, EngineResult) and ended.edits:
            outcome = await self._edited(outcome, ended.edits)
        return outcome

    async def _edited(self, outcome: Outcome, edits: EditPlan) -> Outcome:
        """Apply what the engine wants changed."""
        # If the disk refuses now, the tokens are spent all the same.
        self._context.usage = outcome.usage
        try:
            applied = await self._applied(Workspace(self._order.workspace), edits)
        except EditRejected as error:
            rejected = failed(MalformedOutput(str(error)), outcome.usage)
            return msgspec.structs.replace(rejected, message=outcome.message)
        self._notes += applied.notes
        saved = tokens_in(applied.full_bytes) - tokens_in(applied.plan_bytes)
        return msgspec.structs.replace(outcome, tokens_saved=max(0, saved))

    async def _applied(self, workspace: Workspace, edits: EditPlan) -> AppliedPlan:
        """Apply a plan; if the disk refuses half-way, the next call finishes it."""
        settled = self._workshop.settled
        settled.discard(self._order.workspace)
        applied = await asyncio.to_thread(apply_plan, workspace, self._order.call_id, edits)
        settled.add(self._order.workspace)
        return applied

    def _judged(self, ended: EngineResult | BaseException) -> Outcome:
        """Turn the end of the engine into an outcome."""
        if isinstance(ended, EngineResult):
            usage = ended.usage
            if self._reason is None:
                message = storable(ended.message, MESSAGE_CHARACTERS_MAX)
                if not ended.decisions:
                    return Outcome(usage=usage, message=message)
                return decided(ended.decisions, Outcome(usage=usage, message=message))
            return self._stopped(usage)
        cancelled = isinstance(ended, asyncio.CancelledError)
        usage = usage_after(ended, self._context.usage)
        if self._reason is not None:
            told = isinstance(ended, EngineError)
            return self._stopped(
                usage, (storable(str(ended), EVIDENCE_CHARACTERS_MAX),) if told else ()
            )
        return failed(EngineError("engine cancelled its own call") if cancelled else ended, usage)

    def _stopped(self, usage: Usage, notes: tuple[str, ...] = ()) -> Outcome:
        """Return the outcome of a call that did not come to its own end."""
        if self._reason == "timeout":
            limit = f"exceeded its limit of {_limit_seconds(self._order.persona):g} s"
            stopped = failed(EngineTimeout(limit), usage)
        else:
            stopped = interrupted(self._reason or "cancelled", usage)
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
    if result.edits is None:
        return result
    try:
        edits = msgspec.convert(msgspec.to_builtins(result.edits), EditPlan | None)
    except (msgspec.MsgspecError, TypeError) as error:
        raise MalformedOutput(f"edits returned by engine: {error}", result.usage) from error
    return msgspec.structs.replace(result, edits=edits)


def _limit_seconds(persona: Persona) -> float:
    """Return the wall-clock limit of a call: the command's own, if it has one."""
    command = persona.command if persona.engine == "command" else None
    if command is None or command.timeout_seconds is None:
        return persona.timeout_seconds
    return command.timeout_seconds
