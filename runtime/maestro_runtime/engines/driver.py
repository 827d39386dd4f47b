"""The one place that starts processes: a tree per call, with an end that is certain."""

import asyncio
import errno
import itertools
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from maestro_runtime.engines import guard
from maestro_runtime.engines._tree import Leader, Output, ProcessTree
from maestro_runtime.engines.errors import EngineCrashed, EngineUnavailable, Permanent, Transient
from maestro_runtime.engines.protocol import EngineContext
from maestro_runtime.engines.survivors import STATE_VARIABLE, identify
from maestro_runtime.redaction import Redactor

GRACE_SECONDS: Final = 5.0
"""Between SIGTERM and SIGKILL, if the call names no other."""

CLOSE_SECONDS_MAX: Final = 8.0
"""How long `Driver.close` waits for killed trees; the guard takes care of the rest."""

PASSED_VARIABLES: Final = frozenset({"HOME", "LANG", "PATH", "TMPDIR", "TZ", "USER"})
"""With `LC_*`, what a program inherits of the runtime's own environment."""

CALL_VARIABLE: Final = "MAESTRO_CALL_ID"
GUARD_VARIABLE: Final = "MAESTRO_GUARD_ID"
"""Marks the processes of one start of the runtime: its guard must not touch the next one's."""
TREE_VARIABLE: Final = "MAESTRO_TREE_ID"
"""Marks the processes of one program. Calls of two states may well have the same id."""

UNAVAILABLE_ERRNOS: Final = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP}
)
"""Starting failed because of the program, not because the machine is short of something."""


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One program to run for one call."""

    call_id: str
    argv: tuple[str, ...]
    """Program and arguments; never seen by a shell."""
    folder: Path
    """Working directory; it exists."""
    environment: dict[str, str]
    """Added to the inherited variables; the driver's own are added last."""
    request: bytes
    """Written to standard input, which is then closed."""


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A program that ended by itself."""

    exit_code: int
    """Negative for a signal."""
    stdout: Output
    stderr: Output


class Driver:
    """Runs programs, and kills their whole process trees when they end, are stopped or orphaned.

    Belongs to one event loop, whose thread must live as long as the runtime.

    Args:
        state_id: Name of the state directory that no copy of it has; marks the processes for
            `kill_survivors`.
        grace_seconds: Between SIGTERM and SIGKILL when a call is stopped that names no other.
        redactor: Takes secrets out of what programs say, before anybody cuts it.
    """

    def __init__(
        self,
        state_id: str,
        grace_seconds: float = GRACE_SECONDS,
        redactor: Redactor | None = None,
    ) -> None:
        self._state_id = state_id
        self._grace_seconds = grace_seconds
        self._redactor = redactor or Redactor()
        self._guard = _Guard()
        self._numbers = itertools.count(1)
        self._trees: set[ProcessTree] = set()

    async def run(
        self,
        invocation: Invocation,
        context: EngineContext,
        begins: Callable[[], None] | None = None,
    ) -> Completion:
        """Run a program to its end. Nothing of its tree is alive when this returns or raises.

        Its standard input stays empty, and its output unread, until it is on record.

        Args:
            invocation: The program.
            context: Records it, and says how long it may take to end once the call is stopped.
            begins: Called when it is on record, before it gets its input.

        Raises:
            EngineUnavailable: The program is missing or must not be executed.
            Permanent: The command line cannot be passed to the system.
            Transient: The machine cannot start a process now.
            EngineCrashed: A process of the tree does not die.
        """
        self._guard.start()
        tree_id = f"{self._guard.guard_id}.{next(self._numbers)}"
        tree = _watched(self._spawn(invocation, tree_id), tree_id)
        self._trees.add(tree)
        context.on_kill = tree.kill_leader
        try:
            identity = identify(tree.pid)
            self._guard.add(tree.pid, identity.start_ticks)
            await context.started(identity)
            if begins is not None:
                begins()
            await tree.talk(invocation.request)
        finally:
            grace_seconds = context.grace_seconds
            try:
                await tree.end(self._grace_seconds if grace_seconds is None else grace_seconds)
            finally:
                self._trees.discard(tree)
                self._guard.discard(tree.pid)
        exit_code = tree.gone.result()
        if exit_code is None:
            raise EngineCrashed(f"process {tree.pid} has not ended")
        stdout, stderr = map(self._clean, tree.outputs())
        return Completion(exit_code=exit_code, stdout=stdout, stderr=stderr)

    def _clean(self, output: Output) -> Output:
        is_tail = output.total_bytes > len(output.tail)
        tail = self._redactor.clean_bytes(output.tail, is_tail=is_tail)
        return Output(tail=tail, total_bytes=output.total_bytes)

    async def close(self) -> None:
        """Kill what still runs, without grace, and let the guard go."""
        ends = {tree.gone for tree in self._trees}
        for tree in self._trees:
            tree.kill_leader()
        if ends:
            await asyncio.wait(ends, timeout=CLOSE_SECONDS_MAX)
        await asyncio.to_thread(self._guard.close)

    def _spawn(self, invocation: Invocation, tree_id: str) -> subprocess.Popen[bytes]:
        """Start the leader of a tree in a session of its own."""
        program = invocation.argv[0]
        try:
            return subprocess.Popen(  # noqa: S603 - argv list, no shell
                invocation.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=invocation.folder,
                env=self._environment(invocation, tree_id),
                close_fds=True,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            detail = f"cannot start {program!r}: {error.strerror}"
            if error.errno in UNAVAILABLE_ERRNOS:
                raise EngineUnavailable(detail) from error
            if error.errno == errno.E2BIG:
                raise Permanent(detail) from error
            raise Transient(detail) from error
        except ValueError as error:
            raise Permanent(f"cannot start {program!r}: {error}") from error

    def _environment(self, invocation: Invocation, tree_id: str) -> dict[str, str]:
        """Return what the program sees: allowed, then declared, then the driver's own."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name in PASSED_VARIABLES or name.startswith("LC_")
        }
        # Last, so that no declared variable can hide a process from the sweeps.
        marks = {
            STATE_VARIABLE: self._state_id,
            CALL_VARIABLE: invocation.call_id,
            GUARD_VARIABLE: self._guard.guard_id,
            TREE_VARIABLE: tree_id,
        }
        return inherited | invocation.environment | marks


def _watched(process: subprocess.Popen[bytes], tree_id: str) -> ProcessTree:
    """Return the tree of a process that was just started; it does not outlive a failure here."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise ValueError("process must be started with pipes for all three streams")
    leader = Leader(
        pid=process.pid,
        stdin=process.stdin,
        stdout=process.stdout,
        stderr=process.stderr,
        reap=process.poll,
    )
    try:
        return ProcessTree(leader, f"{TREE_VARIABLE}={tree_id}".encode())
    except BaseException:
        with process:
            process.kill()
        raise


class _Guard:
    """The runtime's end of the guard process; see `guard`."""

    def __init__(self) -> None:
        self.guard_id = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._ticks: dict[int, int] = {}

    def start(self) -> None:
        """Start the process unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = subprocess.Popen(  # noqa: S603 - our own file, no shell
            [sys.executable, "-I", "-S", guard.__file__, f"{GUARD_VARIABLE}={self.guard_id}"],
            stdin=subprocess.PIPE,
            # Not inherited: whoever reads the runtime's output must see its end with the runtime.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            close_fds=True,
            start_new_session=True,
            bufsize=0,
        )
        for session, ticks in self._ticks.items():
            self._tell(f"+{session} {ticks}\n")

    def add(self, session: int, start_ticks: int) -> None:
        """Have a process tree killed if the runtime dies."""
        self._ticks[session] = start_ticks
        self._tell(f"+{session} {start_ticks}\n")

    def discard(self, session: int) -> None:
        """Forget a process tree that is gone."""
        if self._ticks.pop(session, None) is not None:
            self._tell(f"-{session}\n")

    def close(self) -> None:
        """End the guard; it kills what is still registered first. Blocks until it is gone."""
        if self._process is None:
            return
        if not self._ticks:
            self._tell("q\n")
        with self._process:
            # Closes the pipe, which the guard reads as the end of the runtime, and reaps it.
            self._process = None

    def _tell(self, line: str) -> None:
        """Write one line; a pipe takes it whole."""
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError:
            # Somebody killed the guard. A new one learns everything from `start`; `add` and
            # `discard` have noted their change before they come here.
            self._process.wait()
            if line != "q\n":
                self.start()
