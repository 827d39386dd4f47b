"""Restate: a server with its defaults, and invocations of a service in a process of its own."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from child import started
from measure import Options

NODE: Final = "bench"
READY_SECONDS_MAX: Final = 30.0
LOOK_SECONDS: Final = 0.1
"""Between two looks whether the server is ready, which it does not tell."""
REQUEST_SECONDS_MAX: Final = 300.0
STEPS_MIN: Final = 20
"""Of an invocation, because to begin and to end one costs as much as some steps."""
SCRATCH_PATHS = (str(Path(sys.prefix, "node_modules", ".bin")), os.environ.get("PATH", ""))


class Invocations:
    """Those of one server."""

    def __init__(self, sockets: Path) -> None:
        """Take the folder with the sockets of the server."""
        self._sockets = sockets

    def register(self, uri: str) -> None:
        """Have the server ask the service for its handlers, as soon as it can.

        Raises:
            TimeoutError: It was not ready within the bound.
        """
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            try:
                return self._post("admin", "/deployments", {"uri": uri})
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise TimeoutError("the server of Restate is not ready") from error
                time.sleep(LOOK_SECONDS)

    def run(self, steps: int, concurrent: int) -> None:
        """Run `steps` steps in up to `concurrent` invocations at the same time."""
        width = min(concurrent, max(1, steps // STEPS_MIN))
        shares = [steps // width + (place < steps % width) for place in range(width)]
        with ThreadPoolExecutor(width) as pool:
            for _ in pool.map(lambda share: self._post("ingress", "/Bench/run", share), shares):
                pass

    def _post(self, name: str, path: str, body: object) -> None:
        line = _Line(self._sockets / f"{name}.sock")
        try:
            line.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = line.getresponse()
            text = answer.read()
        finally:
            line.close()
        if answer.status >= 300:
            raise http.client.HTTPException(f"{path}: {answer.status} {text!r}")


class _Line(http.client.HTTPConnection):
    """A connection to a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=REQUEST_SECONDS_MAX)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@contextmanager
def open_invocations(options: Options) -> Iterator[Invocations | None]:
    """Lend a server and a service; None if the server, its library or hypercorn is absent."""
    server = shutil.which("restate-server", path=os.pathsep.join(SCRATCH_PATHS))
    if server is None or not (options.has("restate") and options.has("hypercorn")):
        yield None
        return
    with (
        options.scratch() as directory,
        started("restate_service") as service,
        _serving(server, directory) as sockets,
    ):
        invocations = Invocations(sockets)
        invocations.register(f"http://127.0.0.1:{service.greeting}")
        yield invocations


@contextmanager
def _serving(server: str, directory: Path) -> Iterator[Path]:
    """Lend the folder of a server's sockets; it listens on no port."""
    argv = [server, "--listen-mode=unix", f"--base-dir={directory}", f"--node-name={NODE}"]
    environment = {**os.environ, "RESTATE_DISABLE_TELEMETRY": "true"}
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(argv, env=environment, stdout=log, stderr=log) as process,  # noqa: S603 - the peer
    ):
        try:
            yield directory / NODE
        finally:
            process.terminate()
