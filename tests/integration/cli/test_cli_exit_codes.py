"""Every exit code is reached by a real command, and every error class has one."""

import errno
import pickle
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import lmdb
import pytest

from command_line import CommandLine
from maestro_actors.errors import InternalError, UsageInvalid
from maestro_actors.ledger.errors import LedgerConflict
from maestro_runtime import config, errors, workspace
from maestro_runtime.cli._exit import _CODES, ExitCode, _code_of, explain_error
from maestro_runtime.cli._output import OutputFailed
from maestro_runtime.engines import errors as engines
from maestro_runtime.wire import errors as wire
from maestro_runtime.wire.faults import _MODULES as MODULES
from maestro_storage import Store
from maestro_storage import errors as storage

BY_COMMAND: Final = {
    ExitCode.DONE: "session result note-done",
    ExitCode.NOT_FULFILLED: "session result note-failed",
    ExitCode.USAGE: "session show --nope",
    ExitCode.CANNOT_START: "doctor --state-dir team.toml/state",
    ExitCode.NOT_FOUND: "session show nobody",
    ExitCode.CONFLICT: "run team.toml --session note-done",
    ExitCode.OVER_BUDGET: "session result poor",
    ExitCode.HELP_NEEDED: "session result waits",
}

BY_TEST: Final = {
    ExitCode.OWNED,
    ExitCode.DAMAGED,
    ExitCode.STORAGE_FAILED,
    ExitCode.TRY_LATER,
    # By test_a_paused_session_says_why_and_how_to_go_on.
    ExitCode.PAUSED,
    # By test_a_run_is_waited_for_no_longer_than_it_is_said_and_goes_on.
    ExitCode.TIMED_OUT,
    # Both by test_a_signal_ends_a_run_in_order_and_says_how_to_go_on.
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
}

INTERNAL: Final = (
    # Outcomes of a call: they end in its attempt, never in the command.
    engines.EngineError,
    workspace.PathEscapes,
    workspace.WorkspaceTooLarge,
    # Mistakes of the runtime itself.
    engines.CallInFlight,
    engines.HostClosed,
    storage.StoreClosed,
    # Mistakes of either end of a socket.
    wire.EventsMissed,
    wire.FrameInvalid,
    wire.FrameTooLarge,
    wire.RequestInvalid,
    wire.TooManyRequests,
    wire.RemoteFailure,
)


def test_every_exit_code_has_a_command_that_shows_it() -> None:
    assert BY_COMMAND.keys() | BY_TEST == set(ExitCode)
    assert not BY_COMMAND.keys() & BY_TEST


@pytest.mark.parametrize("code", BY_COMMAND, ids=lambda code: code.name)
def test_a_command_exits_with(past: CommandLine, code: ExitCode) -> None:
    result = past(*BY_COMMAND[code].split())

    assert result.returncode == code, result.stderr


def test_a_command_exits_with_4_while_another_process_owns_the_state(past: CommandLine) -> None:
    with Store.open(past.state_dir) as store:
        store.stay_silent()
        result = past("session", "list")

    assert result.returncode == ExitCode.OWNED
    assert "is owned by pid" in result.stderr


def test_who_meets_an_owner_that_does_not_listen_is_offered_no_copy_of_its_state(
    past: CommandLine,
) -> None:
    with Store.open(past.state_dir) as store:
        store.stay_silent()
        compacted = past("state", "compact")

    assert compacted.returncode == ExitCode.OWNED
    hint, error = compacted.stderr.splitlines()
    assert hint == "stop whoever has it, then compact it"
    assert error.endswith(", which does not listen")


def test_a_command_exits_with_9_where_a_record_is_damaged(past: CommandLine) -> None:
    past("state", "backup", "spoilt")
    with lmdb.open(str(past.directory / "spoilt" / "data"), max_dbs=32) as environment:
        tasks = environment.open_db(b"tasks")
        with environment.begin(write=True, db=tasks) as txn:
            txn.put(b"poor\0note\0", b"not what was sealed")

    for command in ("state verify", "session show poor", "session show po"):
        result = past(*command.split(), "--state-dir", "spoilt")

        assert result.returncode == ExitCode.DAMAGED, command
        assert "706f6f72006e6f746500 in tasks" in result.stderr
    assert past("session", "show", "waits", "--state-dir", "spoilt").returncode == 0


def test_a_result_that_cannot_be_written_exits_with_74(past: CommandLine) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            past.argv("session", "list"),
            env=past.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )

    assert result.returncode == ExitCode.STORAGE_FAILED
    assert result.stderr == "error: stdout cannot be written: No space left on device\n"


def _classes() -> Iterator[type[Exception]]:
    """Yield every error class that the packages below the command line define."""
    roots = (errors.RuntimeFault, storage.StorageError, workspace.WorkspaceError, wire.WireError)
    for module in (config, errors, workspace, engines, storage, wire):
        for item in vars(module).values():
            if isinstance(item, type) and issubclass(item, Exception) and item not in roots:
                yield item


@pytest.mark.parametrize("kind", list(_classes()), ids=lambda kind: kind.__name__)
def test_every_error_of_the_packages_has_an_exit_code_or_is_internal(
    kind: type[Exception],
) -> None:
    """Made without its fields: only the class counts here."""
    code = _code_of(kind.__new__(kind))

    assert (code is None) == issubclass(kind, INTERNAL)


def test_each_name_with_an_exit_code_is_that_of_one_error_class() -> None:
    known = [
        item.__name__
        for module in (*MODULES, "maestro_runtime.daemon.errors", "maestro_runtime.cli._output")
        for item in vars(import_module(module)).values()
        if isinstance(item, type) and issubclass(item, Exception) and _is_defined_in(item, module)
    ]

    assert {name: known.count(name) for name in _CODES} == dict.fromkeys(_CODES, 1)


def _is_defined_in(kind: type, module: str) -> bool:
    # What a package exports is defined below it.
    return kind.__module__.startswith(module)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (config.SettingInvalid("flag --x", "an integer", "y"), ExitCode.USAGE),
        (engines.UnknownEngine("gpt", ("python",)), ExitCode.USAGE),
        (errors.EngineNotReady("dev", "command", "no such program"), ExitCode.USAGE),
        (errors.CheckNotReady("c1", "style", "no such program"), ExitCode.USAGE),
        (errors.DirectoryUnusable("input", "x", "it is missing"), ExitCode.USAGE),
        (storage.BackupTargetNotEmpty("/x"), ExitCode.USAGE),
        (storage.StateNotWritable("/x", "denied"), ExitCode.CANNOT_START),
        (storage.NetworkFileSystem("/x", "nfs"), ExitCode.CANNOT_START),
        (wire.DaemonUnreachable("/x", "gone"), ExitCode.CANNOT_START),
        (wire.ProtocolMismatch(1, 2, "3.0.0"), ExitCode.CANNOT_START),
        (wire.PeerRefused(7), ExitCode.CANNOT_START),
        (storage.StateTooNew("/x", 2, 1), ExitCode.CANNOT_START),
        (storage.RecordTooNew("tasks", "00", 2, 1), ExitCode.CANNOT_START),
        (storage.StateOwned("/x", 1, "here", "now"), ExitCode.OWNED),
        (storage.OwnerFenced(1, 2), ExitCode.OWNED),
        (wire.SessionsNotHosted(7), ExitCode.OWNED),
        (storage.NotFound("session", "s1"), ExitCode.NOT_FOUND),
        (errors.SessionConflict("s1", "the team", "a", "b"), ExitCode.CONFLICT),
        (storage.StateDamaged("/x", "torn"), ExitCode.DAMAGED),
        (storage.RecordDamaged("s1", "tasks", "00", "torn"), ExitCode.DAMAGED),
        (storage.SessionQuarantined("s1", ("torn",)), ExitCode.DAMAGED),
        (storage.StoreFull("/x", "map"), ExitCode.STORAGE_FAILED),
        (storage.StoreFailed("/x", "EIO"), ExitCode.STORAGE_FAILED),
        (storage.QuotaExceeded("/x", 2, 1), ExitCode.STORAGE_FAILED),
        (OutputFailed("stdout", "EIO"), ExitCode.STORAGE_FAILED),
        (errors.AdmissionRefused("the queue is full", 3, 10.0), ExitCode.TRY_LATER),
        (errors.ActorFailed("session/s1", "ValueError: x"), ExitCode.NOT_FULFILLED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_explained_in_one_line_with_its_code(error: Exception, code: ExitCode) -> None:
    assert explain_error(error) == (code, f"error: {error}")


def test_each_problem_of_a_team_file_has_a_line_of_its_own() -> None:
    problems = (config.Problem("team.name", "is required"), config.Problem("", "is odd"))

    code, text = explain_error(config.TeamFileInvalid("t.toml", problems))

    assert code == ExitCode.USAGE
    assert text.splitlines() == ["error: t.toml: team.name: is required", "error: t.toml: is odd"]


@pytest.mark.parametrize("error", [InternalError("odd"), ZeroDivisionError("odd"), OSError(2, "x")])
def test_an_error_nobody_expected_exits_with_1_and_shows_where_it_came_from(
    error: Exception,
) -> None:
    try:
        raise error
    except type(error) as caught:
        code, text = explain_error(caught)

    assert code == ExitCode.NOT_FULFILLED
    assert text.startswith("Traceback (most recent call last):")
    assert type(error).__name__ in text
    assert text.endswith("internal error: please report the lines above")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            74,
            "[Errno 28] No space left on device",
        ),
        (OSError(errno.EIO, "Input/output error"), 74, "[Errno 5] Input/output error"),
        (OSError(errno.EMFILE, "Too many open files"), 75, "[Errno 24] Too many open files"),
        (RuntimeError("can't start new thread"), 75, "can't start new thread"),
    ],
)
def test_what_the_machine_has_run_out_of_is_told_without_a_traceback(
    error: Exception, code: int, text: str
) -> None:
    assert explain_error(error) == (code, f"error: {text}")


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("session", "list", "--help")])
def test_help_that_cannot_be_written_exits_with_74(
    cli: CommandLine, arguments: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            cli.argv(*arguments),
            env=cli.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )

    assert result.returncode == ExitCode.STORAGE_FAILED
    assert result.stderr == "error: [Errno 28] No space left on device\n"


def test_a_run_for_which_there_are_too_few_descriptors_is_told_so(cli: CommandLine) -> None:
    argv = cli.argv("run", cli.team())

    # Enough for the state, but not for what runs in it.
    result = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n 12; exec "$@"', "sh", *argv],
        cwd=cli.directory,
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert result.returncode == ExitCode.TRY_LATER
    assert result.stderr.endswith("error: [Errno 24] Too many open files\n")
    assert "Traceback" not in result.stderr


def test_an_output_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(OutputFailed("stdout", "full")))  # noqa: S301 - our own

    assert str(error) == "stdout cannot be written: full"


def test_what_the_ledger_refuses_is_a_conflict_and_bad_figures_are_bad_usage() -> None:
    assert _code_of(LedgerConflict("call 1", "is open")) is ExitCode.CONFLICT
    assert _code_of(UsageInvalid("requests", "must be at least 0", -1)) is ExitCode.USAGE
