"""Exit codes: stable, documented in `docs/command-line.md`, one test each."""

import errno
import traceback
from enum import IntEnum
from typing import Final

from maestro_runtime.cli import _process


class ExitCode(IntEnum):
    """What the process tells its caller."""

    DONE = 0
    """The run is done, or the command did what it says."""
    NOT_FULFILLED = 1
    """The run ended without fulfilling its contracts, or an error nobody expected."""
    USAGE = 2
    """The command line or the team file is wrong; nothing was started."""
    CANNOT_START = 3
    """The state directory cannot be used: not writable, of a newer schema, on a network disk.

    Or who has it does not run the session, in safe mode, say.
    """
    OWNED = 4
    """Another process owns the state directory, or has taken it over."""
    NOT_FOUND = 5
    """No such session or state."""
    CONFLICT = 6
    """The session exists and is something else."""
    OVER_BUDGET = 7
    """A token budget could not pay for another attempt."""
    HELP_NEEDED = 8
    """A task waits for a person."""
    DAMAGED = 9
    """A record, or a file that a checkpoint has on record, does not match its digest."""
    PAUSED = 10
    """The session is paused; it goes on when it is resumed."""
    STORAGE_FAILED = 74
    """The disk is full or failed; what was acknowledged is safe."""
    TRY_LATER = 75
    """The runtime has no room for another session now; the text says when to try again.

    Or the machine has too few descriptors or threads.
    """
    TIMED_OUT = 124
    """`--timeout` has passed. The session goes on if another process runs it."""
    INTERRUPTED = _process.INTERRUPTED
    """Ctrl-C. The session can be resumed; it goes on if another process runs it."""
    TERMINATED = _process.TERMINATED
    """SIGTERM. Otherwise as Ctrl-C."""


_OURS: Final = ("maestro_storage", "maestro_actors", "maestro_runtime")

_ERRORS: Final[dict[ExitCode, tuple[str, ...]]] = {
    ExitCode.USAGE: (
        "ConfigError",
        "BudgetInvalid",
        "PriceTableInvalid",
        "GlobEscapes",
        "UnknownEngine",
        "BudgetAmbiguous",
        "SessionNameInvalid",
        "LabelInvalid",
        "PriorityInvalid",
        "CursorInvalid",
        "IdempotencyKeyInvalid",
        "RequestIdInvalid",
        "EngineNotReady",
        "CheckNotReady",
        "DirectoryUnusable",
        "CheckpointNameInvalid",
        "GivenMissing",
        "InputsInvalid",
        "LimitInvalid",
        "PlanInvalid",
        "PhaseNotReady",
        "ContextUnreadable",
        "AnswerInvalid",
        "UsageInvalid",
        "BackupTargetNotEmpty",
        "RecordTooLarge",
        "KeyTooLong",
        "BundleInvalid",
    ),
    ExitCode.CANNOT_START: (
        "StateNotWritable",
        "StateTooNew",
        "RecordTooNew",
        "ContextTooNew",
        "NetworkFileSystem",
        "DaemonUnreachable",
        "ProtocolMismatch",
        "PeerRefused",
        "RuntimeDraining",
        "SafeMode",
        "SessionLeftAlone",
        "SocketInUse",
        "SocketUnusable",
    ),
    ExitCode.OWNED: (
        "StateOwned",
        "OwnerFenced",
        "SessionsNotHosted",
    ),
    ExitCode.NOT_FOUND: ("NotFound",),
    ExitCode.CONFLICT: (
        "SessionConflict",
        "SessionExists",
        "SessionBusy",
        "IdempotencyConflict",
        "HelpNotAwaited",
        "TeamChangeRefused",
        "VerbRefused",
        "PhaseConflict",
        "LedgerConflict",
    ),
    ExitCode.HELP_NEEDED: ("HelpNeeded",),
    ExitCode.DAMAGED: (
        "StateDamaged",
        "RecordDamaged",
        "SessionQuarantined",
        "ArtifactMismatch",
    ),
    ExitCode.STORAGE_FAILED: (
        "StoreFull",
        "StoreFailed",
        "QuotaExceeded",
        "OutputFailed",
        "ExportFailed",
    ),
    ExitCode.TRY_LATER: ("AdmissionRefused",),
    ExitCode.NOT_FULFILLED: (
        "ActorFailed",
        "RuntimeStopped",
        "SessionOfParent",
    ),
}
"""By the names of their classes, or of what these derive from: none has to be loaded."""

_CODES: Final = {name: code for code, names in _ERRORS.items() for name in names}


_MACHINE: Final[dict[int, ExitCode]] = {
    errno.ENOSPC: ExitCode.STORAGE_FAILED,
    errno.EDQUOT: ExitCode.STORAGE_FAILED,
    errno.EROFS: ExitCode.STORAGE_FAILED,
    errno.EIO: ExitCode.STORAGE_FAILED,
    errno.EMFILE: ExitCode.TRY_LATER,
    errno.ENFILE: ExitCode.TRY_LATER,
    errno.ENOMEM: ExitCode.TRY_LATER,
    errno.EAGAIN: ExitCode.TRY_LATER,
}
"""Of what no code is to blame for, wherever it comes up."""

_NO_THREAD: Final = "can't start new thread"
"""What Python says, in an error that has no class of its own."""


def explain_error(error: Exception) -> tuple[ExitCode, str]:
    """Return the exit code of an error and what to print for it."""
    code = _code_of(error) or _code_of_machine(error)
    if code is None:
        lines = "".join(traceback.format_exception(error))
        return ExitCode.NOT_FULFILLED, f"{lines}internal error: please report the lines above"
    return code, "\n".join(f"error: {line}" for line in str(error).splitlines())


def _code_of(error: Exception) -> ExitCode | None:
    names = (kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith(_OURS))
    return next((_CODES[name] for name in names if name in _CODES), None)


def _code_of_machine(error: Exception) -> ExitCode | None:
    """Return the code of an error that says that the machine has run out of something."""
    if isinstance(error, OSError):
        return _MACHINE.get(error.errno or 0)
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        return ExitCode.TRY_LATER
    return None
