"""Exit codes: stable, documented in the README, one test each."""

import traceback
from enum import IntEnum


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

    Or who has it does not go on with the session.
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
    """The runtime has no room for another session now; the text says when to try again."""
    TIMED_OUT = 124
    """`--timeout` has passed. The session goes on if another process runs it."""
    INTERRUPTED = 130
    """Ctrl-C. The session can be resumed; it goes on if another process runs it."""
    TERMINATED = 143
    """SIGTERM. Otherwise as Ctrl-C."""


def explain_error(error: Exception) -> tuple[ExitCode, str]:
    """Return the exit code of an error and what to print for it.

    The error classes are imported here, not above: whoever raised one has loaded them already.
    """
    code = _code_of(error)
    if code is None:
        lines = "".join(traceback.format_exception(error))
        return ExitCode.NOT_FULFILLED, f"{lines}internal error: please report the lines above"
    return code, "\n".join(f"error: {line}" for line in str(error).splitlines())


def _code_of(error: Exception) -> ExitCode | None:
    from maestro_actors import errors as actors
    from maestro_actors.ledger.errors import BudgetInvalid, LedgerConflict, PriceTableInvalid
    from maestro_runtime import config, errors, workspace
    from maestro_runtime.checkpoints import errors as checkpoints
    from maestro_runtime.cli._output import OutputFailed
    from maestro_runtime.daemon import errors as daemon
    from maestro_runtime.engines import errors as engines
    from maestro_runtime.team_engine import errors as team_engine
    from maestro_runtime.wire import errors as wire
    from maestro_storage import errors as storage

    table: dict[ExitCode, tuple[type[Exception], ...]] = {
        ExitCode.USAGE: (
            config.ConfigError,
            BudgetInvalid,
            PriceTableInvalid,
            workspace.GlobEscapes,
            engines.UnknownEngine,
            errors.BudgetAmbiguous,
            errors.SessionNameInvalid,
            errors.LabelInvalid,
            errors.PriorityInvalid,
            errors.CursorInvalid,
            errors.IdempotencyKeyInvalid,
            errors.RequestIdInvalid,
            errors.EngineNotReady,
            errors.CheckNotReady,
            errors.DirectoryUnusable,
            errors.CheckpointNameInvalid,
            errors.GivenMissing,
            errors.InputsInvalid,
            actors.LimitInvalid,
            actors.PlanInvalid,
            actors.PhaseNotReady,
            team_engine.ContextUnreadable,
            actors.AnswerInvalid,
            actors.UsageInvalid,
            storage.BackupTargetNotEmpty,
            storage.RecordTooLarge,
            storage.KeyTooLong,
            checkpoints.BundleInvalid,
        ),
        ExitCode.CANNOT_START: (
            storage.StateNotWritable,
            storage.StateTooNew,
            storage.RecordTooNew,
            team_engine.ContextTooNew,
            storage.NetworkFileSystem,
            wire.DaemonUnreachable,
            wire.ProtocolMismatch,
            wire.PeerRefused,
            errors.RuntimeDraining,
            errors.SessionLeftAlone,
            daemon.SocketInUse,
            daemon.SocketUnusable,
        ),
        ExitCode.OWNED: (storage.StateOwned, storage.OwnerFenced, wire.SessionsNotHosted),
        ExitCode.NOT_FOUND: (storage.NotFound,),
        ExitCode.CONFLICT: (
            errors.SessionConflict,
            errors.SessionExists,
            errors.SessionBusy,
            errors.SafeMode,
            errors.IdempotencyConflict,
            actors.HelpNotAwaited,
            actors.TeamChangeRefused,
            actors.VerbRefused,
            actors.PhaseConflict,
            LedgerConflict,
        ),
        ExitCode.HELP_NEEDED: (errors.HelpNeeded,),
        ExitCode.DAMAGED: (
            storage.StateDamaged,
            storage.RecordDamaged,
            storage.SessionQuarantined,
            checkpoints.ArtifactMismatch,
        ),
        ExitCode.STORAGE_FAILED: (
            storage.StoreFull,
            storage.StoreFailed,
            storage.QuotaExceeded,
            OutputFailed,
            checkpoints.ExportFailed,
        ),
        ExitCode.TRY_LATER: (errors.AdmissionRefused,),
        ExitCode.NOT_FULFILLED: (errors.ActorFailed, errors.RuntimeStopped),
    }
    for code, kinds in table.items():
        if isinstance(error, kinds):
            return code
    return None
