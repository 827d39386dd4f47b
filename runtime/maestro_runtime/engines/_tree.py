"""One running program with its pipes and everything it started, watched from an event loop."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import IO, Final

import msgspec

from maestro_runtime.engines.errors import EngineCrashed
from maestro_runtime.engines.guard import kill_processes

OUTPUT_BYTES_MAX: Final = 1 << 20
"""Kept of each output stream: its last 1 MiB. The rest is read, counted and dropped."""

DRAIN_SECONDS_MAX: Final = 1.0
"""How long the end of the output is waited for once every process of the tree is dead."""

PIPE_BYTES: Final = 1 << 16


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream carried."""

    tail: bytes = b""
    """At most `OUTPUT_BYTES_MAX` bytes, the last ones."""
    total_bytes: int = 0


class Leader(msgspec.Struct, frozen=True, kw_only=True):
    """A process that was started in a session of its own, with pipes for all three streams."""

    pid: int
    """The number of its session and process group as well."""
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    reap: Callable[[], int | None]
    """Returns the exit code, negative for a signal, and frees the pid; None while it runs."""


class ProcessTree:
    """A leader, its session, and every process that carries `marker` in its environment.

    Args:
        leader: Not reaped yet.
        marker: `NAME=value`, whole.

    Raises:
        OSError: The leader cannot be watched.
    """

    def __init__(self, leader: Leader, marker: bytes) -> None:
        self._pid_fd = os.pidfd_open(leader.pid)
        self._reap = leader.reap
        self.marker = marker
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[None] = self._loop.create_future()
        try:
            self._loop.add_reader(self._pid_fd, self._on_exit)
        except BaseException:
            os.close(self._pid_fd)
            raise
        self._stdin = _Feed(self._loop, leader.stdin)
        self._stdout = _Capture(self._loop, leader.stdout)
        self._stderr = _Capture(self._loop, leader.stderr)
        self.pid = leader.pid
        self.gone: asyncio.Future[int | None] = self._loop.create_future()
        """The exit code, once `end` has finished; None if the leader does not die."""

    async def talk(self, request: bytes) -> None:
        """Send the request, read the output, return when the leader has ended."""
        self._stdout.open()
        self._stderr.open()
        self._stdin.open(request)
        # Not `await self._exited`: being cancelled would cancel the future as well.
        await asyncio.wait({self._exited})

    def kill_leader(self) -> None:
        """Kill the leader's process group at once; `end` does the rest."""
        if not self.gone.done():
            # Not reaped before `end` is through, so the number is still this tree's.
            os.killpg(self.pid, signal.SIGKILL)

    async def end(self, grace_seconds: float) -> None:
        """Kill whatever is alive, politely if the leader is, and reap the leader.

        Raises:
            EngineCrashed: A process does not die.
        """
        try:
            if not self._exited.done():
                os.killpg(self.pid, signal.SIGTERM)
                await asyncio.wait({self._exited}, timeout=grace_seconds)
            sweep = await asyncio.to_thread(kill_processes, {self.pid}, self.marker)
            if sweep.survived:
                raise EngineCrashed(f"processes {sorted(sweep.survived)} survive SIGKILL")
            await asyncio.wait({self._exited})
            await asyncio.wait({self._stdout.ended, self._stderr.ended}, timeout=DRAIN_SECONDS_MAX)
        finally:
            self._release()

    def outputs(self) -> tuple[Output, Output]:
        """Return what standard output and standard error carried."""
        return self._stdout.output(), self._stderr.output()

    def _on_exit(self) -> None:
        """Note the end of the leader; it stays a zombie, so its number stays taken."""
        self._loop.remove_reader(self._pid_fd)
        self._exited.set_result(None)

    def _release(self) -> None:
        """Reap the leader if it is dead, and close every descriptor."""
        exit_code = self._reap()
        self._loop.remove_reader(self._pid_fd)
        os.close(self._pid_fd)
        self._stdin.close()
        self._stdout.close()
        self._stderr.close()
        self.gone.set_result(exit_code)


class _Feed:
    """Writes a request to a program's standard input, then closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pipe: IO[bytes]) -> None:
        self._loop = loop
        self._pipe = pipe
        self._rest = memoryview(b"")
        os.set_blocking(pipe.fileno(), False)

    def open(self, content: bytes) -> None:
        """Begin to write."""
        self._rest = memoryview(content)
        self._loop.add_writer(self._pipe.fileno(), self._write)

    def _write(self) -> None:
        """Write what the pipe takes."""
        try:
            written = os.write(self._pipe.fileno(), self._rest[:PIPE_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:
            # The program does not read all of its input, as is its right.
            self.close()
            return
        self._rest = self._rest[written:]
        if not self._rest:
            self.close()

    def close(self) -> None:
        """Close the pipe; the program sees the end of its input."""
        if not self._pipe.closed:
            self._loop.remove_writer(self._pipe.fileno())
            self._pipe.close()


class _Capture:
    """Reads a stream to its end and keeps its tail."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pipe: IO[bytes]) -> None:
        self._loop = loop
        self._pipe = pipe
        self._kept = bytearray()
        self._total_bytes = 0
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done when there is nothing more to read, or nobody reads."""
        self.ended.set_result(None)
        os.set_blocking(pipe.fileno(), False)

    def open(self) -> None:
        """Begin to read."""
        self.ended = self._loop.create_future()
        self._loop.add_reader(self._pipe.fileno(), self._read)

    def _read(self) -> None:
        """Take what is there."""
        try:
            chunk = os.read(self._pipe.fileno(), PIPE_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self.close()
            return
        self._total_bytes += len(chunk)
        self._kept += chunk
        # Cut at twice the size, so that a byte is moved once at most.
        if len(self._kept) > 2 * OUTPUT_BYTES_MAX:
            del self._kept[:-OUTPUT_BYTES_MAX]

    def close(self) -> None:
        """Read no more."""
        if not self._pipe.closed:
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()
        if not self.ended.done():
            self.ended.set_result(None)

    def output(self) -> Output:
        """Return what was kept."""
        return Output(tail=bytes(self._kept[-OUTPUT_BYTES_MAX:]), total_bytes=self._total_bytes)
