"""What an engine is: the seam between the runtime and whatever does a persona's work."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from maestro_actors.checks import CheckResult
from maestro_actors.engine import CallOrder, Estimate, Outcome, ProcessIdentity, Usage
from maestro_actors.team import Persona
from maestro_runtime.edits.plan import EditPlan
from maestro_runtime.workspace import Fingerprint

BYTES_PER_TOKEN: Final = 3
"""Used where nobody counts tokens: about what mixed code and prose come to, on the safe side."""


def tokens_in(byte_count: int) -> int:
    """Estimate the tokens of `byte_count` UTF-8 bytes, rounded up."""
    return -(-byte_count // BYTES_PER_TOKEN)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an engine can serve a persona, as far as that shows before a call."""

    ok: bool
    detail: str = ""
    """What is wrong, in one sentence; empty if nothing is."""


class EngineResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a call that went well used and said. Its artifacts are read from disk, not from it."""

    usage: Usage = Usage()
    message: str = ""
    edits: EditPlan | None = None
    """Changes that the runtime is to make in the workspace, all or none, before it looks what is
    there. If one does not fit, the call has failed with malformed output."""
    decisions: Mapping[str, Any] = {}
    """What was chosen on the way, as JSON has it (a blueprint, a stack ...): kept with the task,
    and shown in the context of the team engine."""


def _nothing() -> None:
    """Do nothing."""


class EngineContext:
    """What an engine tells the runtime while a call runs. One per call, on the host's thread."""

    def __init__(self, started: Callable[[ProcessIdentity], Awaitable[None]]) -> None:
        self.usage = Usage()
        """Tokens used so far. An engine keeps it current; it is what counts if the call is
        stopped, or fails with an error that names no usage."""
        self.grace_seconds: float | None = None
        """How long programs of the call may take to end once it is stopped: known from then on.
        None: what is usual."""
        self.on_kill: Callable[[], None] = _nothing
        """Called when the call is to end at once, though it is being stopped already: whoever
        gives a program of it time to end sets what takes it away."""
        self._started = started

    async def started(self, process: ProcessIdentity) -> None:
        """Return once `process` is on record, so that it can be found after a crash.

        Await it before reading what the process writes. If it raises, stop the process.
        """
        await self._started(process)


class Engine(Protocol):
    """Does the work of a persona.

    All methods but `preflight` and `estimate` run on the host's event loop and must not block it.
    An engine makes one try per call and never retries by itself. It writes only inside the
    order's workspace. When `run` is cancelled it may return only after everything it started is
    dead. Who inherits from this class has what an engine without anything to look for, to tell
    apart, to recover or to let go of would do.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The name a team file uses."""

    def preflight(self, persona: Persona) -> Health:  # noqa: ARG002 - for those who override it
        """Check, before the first call and from any thread, what can be checked for free."""
        return Health(ok=True)

    def endpoint(self, persona: Persona) -> str:  # noqa: ARG002 - as above
        """Return what of the engine the persona uses: a program, a function, an address.

        Personas with the same endpoint share a circuit breaker, so it must not change between
        starts. Empty if all of the engine fails together.
        """
        return ""

    @abstractmethod
    def estimate(self, order: CallOrder) -> Estimate | int:
        """Return the tokens the call may need, at least 0: what will be reserved for it.

        An `Estimate` also says with how many it can do; then the order that `run` gets may have a
        smaller `token_budget`, and the engine must keep to it. An integer needs all of it. Called
        from any thread, before the call is opened; must be quick.
        """

    @abstractmethod
    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        """Do the work once.

        Raises:
            EngineError: The call failed; the class says how it is judged.
        """

    async def recover(self, order: CallOrder) -> Usage | None:  # noqa: ARG002 - as above
        """Return what a call interrupted by a crash really used; None if it cannot be told."""
        return None

    async def close(self) -> None:
        """Let go of everything at once; calls that still run must end promptly."""
        return


@runtime_checkable
class VersionedEngine(Protocol):
    """An engine that can tell whether it is still the same; one that cannot is an `Engine`, too."""

    def version(self, persona: Persona) -> str:
        """Return what the engine would run for the persona, in a form that differs if that does.

        Empty if it cannot be told. From any thread, before the first call of a session.
        """


class Checker(Protocol):
    """Holds what an engine left on disk against the checks of its contract."""

    async def check(
        self, order: CallOrder, before: Mapping[str, Fingerprint], context: EngineContext
    ) -> tuple[CheckResult, ...]:
        """Evaluate every check once, after the engine ended well, on the host's event loop.

        Args:
            order: The call; its `known_checks` are taken over where the files are still the same.
            before: What the globs of the order matched before the engine ran.
            context: Records the processes that checks start.
        """

    async def close(self) -> None:
        """Let go of everything at once."""


class Mending(msgspec.Struct, frozen=True, kw_only=True):
    """Repairs of what an engine has left."""

    edits: EditPlan = ()
    created: tuple[str, ...] = ()
    """Files that the edits create on trial: removed again if that does not help."""
    notes: tuple[str, ...] = ()
    """What is repaired, in a few words each."""


class Mender(Protocol):
    """Repairs what can be repaired without the engine."""

    async def mend(self, order: CallOrder, outcome: Outcome, context: EngineContext) -> Mending:
        """Find repairs of files of the contract, on the host's event loop; write nothing.

        Args:
            order: The call.
            outcome: Of an engine that ended well; something is missing or a check has failed.
            context: Records the processes that judge the repairs.
        """

    async def close(self) -> None:
        """Let go of everything at once."""
