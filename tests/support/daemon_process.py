"""A daemon that a test starts, tells things, kills, and starts again over the same state."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Final, Self

from command_line import CommandLine
from maestro_runtime.wire.line import SOCKET_NAME
from served import ServiceManager

BOUND_SECONDS: Final = 120.0
PROGRAM: Final = ("-m", "maestro_runtime")


class DaemonProcess:
    """One daemon after the other. Each is killed at the end, however that comes."""

    def __init__(
        self, cli: CommandLine, *arguments: object, program: Sequence[str] = PROGRAM
    ) -> None:
        """Start nothing yet; `program` is what the interpreter runs."""
        self.socket: Final = cli.state_dir / SOCKET_NAME
        self.log: Final = cli.directory / "daemon.log"
        """What all of them have said: a pipe that nobody reads would hold them up."""
        self._argv: Final = [sys.executable, *program, "serve", *map(str, arguments)]
        self._manager: Final = ServiceManager(str(cli.directory / "notify"))
        self._environment: Final = {
            **cli.environment,
            "NOTIFY_SOCKET": self._manager.address,
        }
        self._told = threading.Condition()
        self._heard: Counter[str] = Counter()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._manager.tell("STOP=1")
        self._listener.join()
        self._manager.__exit__()

    @property
    def pid(self) -> int:
        """Of the one that was started last."""
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def start(self) -> None:
        """Start one, and return when it is ready."""
        ready = self._heard["READY"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, env=self._environment, stderr=log)
        self.wait_for("READY", ready + 1)

    def reload(self) -> None:
        """Have it read its configuration again; it has when this returns."""
        ready = self._heard["READY"]
        self._popen.send_signal(signal.SIGHUP)
        self.wait_for("READY", ready + 1)

    def stop(self) -> int:
        """Have it end in order, and return its exit code."""
        self._popen.terminate()
        return self._popen.wait(BOUND_SECONDS)

    def kill(self) -> None:
        """End it by SIGKILL, if it lives."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(BOUND_SECONDS)

    def wait_for(self, key: str, count: int) -> None:
        """Wait until the daemons have said something so often in all.

        Raises:
            TimeoutError: They have not, or the one that runs has ended.
        """
        with self._told:
            if not self._told.wait_for(lambda: self._heard[key] >= count, BOUND_SECONDS):
                raise TimeoutError(f"{key} was not said: {self.log.read_text()[-2_000:]}")

    @property
    def _popen(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("it was not started")
        return self._process

    def _listen(self) -> None:
        while "STOP" not in (heard := self._manager.wait()):
            with self._told:
                self._heard.update(heard.keys())
                self._told.notify_all()
