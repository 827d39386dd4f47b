"""What does it cost to drive a runtime from other processes?

Four programs submit 10,000 sessions of one task to a daemon and wait for their ends; beside it the
same from four threads of one process that embeds the runtime. And the latency of an ask through the
socket, beside the same ask in the process, and beside the bare echo of a UNIX socket.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from daemon_state import served
from maestro_runtime import SessionOrder, open_runtime
from maestro_runtime.client import connect
from maestro_runtime.proxies import Proxies
from measure import Options, interleaved, percentile
from noop_session import noop_sessions, team_of
from row import Row, Target

PROGRAMS: Final = 4
LOAD_ROUNDS_MAX: Final = 1
"""Of the load, which takes minutes."""
MESSAGE: Final = bytes(100)
"""As long as a small request and its answer."""
SESSION: Final = "asked"


def measure(options: Options) -> list[Row]:
    """Measure submissions and finished tasks a second, and the latency of an ask."""
    return [*_load(options), *_latency(options)]


def _load(options: Options) -> list[Row]:
    count = options.count(10_000, least=PROGRAMS) // PROGRAMS
    total = count * PROGRAMS
    samples = interleaved(
        min(options.rounds, LOAD_ROUNDS_MAX),
        {"socket": lambda: _driven(options, count), "embedded": lambda: _embedded(options, count)},
    )
    return [
        Row(
            question=f"{what}, {total:,} sessions of one task from {PROGRAMS} processes",
            unit="1/s",
            ours=[total / seconds[place] for seconds in samples["socket"]],
            beside="4 threads, embedded",
            theirs=[total / seconds[place] for seconds in samples["embedded"]],
        )
        for place, what in enumerate(("requests acknowledged", "tasks finished"))
    ]


def _driven(options: Options, count: int) -> tuple[float, float]:
    """Return how long it took until all were acknowledged, and until all had ended."""
    module = str(Path(__file__).with_name("proxy_load.py"))
    with (
        options.scratch() as directory,
        served(directory / "state") as path,
        ExitStack() as stack,
    ):
        programs = [
            stack.enter_context(
                subprocess.Popen(  # noqa: S603 - our own module
                    [sys.executable, module, str(path), str(directory), str(number), str(count)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(PROGRAMS)
        ]
        for program in programs:
            assert program.stdout is not None
            program.stdout.readline()
        before = time.time()
        for program in programs:
            assert program.stdin is not None
            program.stdin.write("go\n")
            program.stdin.flush()
        told = [json.loads(program.communicate()[0]) for program in programs]
    return (
        max(item["acknowledged"] for item in told) - before,
        max(item["ended"] for item in told) - before,
    )


def _embedded(options: Options, count: int) -> tuple[float, float]:
    """The same in one process: one thread for each program."""
    team = team_of(1, 1)
    with options.scratch() as directory, open_runtime(directory / "state") as runtime:

        def drive(number: int) -> tuple[float, float]:
            names = [f"p{number}-{place}" for place in range(count)]
            handles = [runtime.run(SessionOrder(team, name, directory / name)) for name in names]
            acknowledged = time.time()
            for handle in handles:
                handle.result()
            return acknowledged, time.time()

        before = time.time()
        with ThreadPoolExecutor(PROGRAMS) as pool:
            told = list(pool.map(drive, range(PROGRAMS)))
    return max(item[0] for item in told) - before, max(item[1] for item in told) - before


def _latency(options: Options) -> list[Row]:
    count = options.count(5_000, least=20)
    with options.scratch() as directory, ExitStack() as stack:
        sessions = stack.enter_context(noop_sessions(directory / "embedded"))
        sessions.run(team_of(1, 1))
        path = stack.enter_context(served(directory / "state"))
        client = stack.enter_context(connect(path))
        echo = stack.enter_context(_echo(directory / "echo"))
        samples = interleaved(
            options.rounds,
            {
                "ours": lambda: _timed(count, _ask(client)),
                "an ask in the process": lambda: _timed(count, _ask(sessions.runtime)),
                "a bare UNIX-socket echo": lambda: _timed(count, echo),
            },
        )
    ours = samples.pop("ours")
    return [
        Row(
            question=f"ask through the socket, {name}",
            unit="ms",
            ours=[percentile(sample, share) * 1000 for sample in ours],
            beside=beside,
            theirs=[percentile(sample, share) * 1000 for sample in theirs],
            target=Target("at most", 1, "difference") if name == "p50" else None,
        )
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        for beside, theirs in samples.items()
    ]


def _ask(proxies: Proxies) -> Callable[[], object]:
    """Return a small question to an actor: what a session that it does not know has used."""
    return lambda: proxies.accountant.usage(SESSION).get()


def _timed(count: int, step: Callable[[], object]) -> list[float]:
    """Return how long each of so many steps took, in seconds."""
    seconds = []
    for _ in range(count):
        before = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - before)
    return seconds


@contextmanager
def _echo(path: Path) -> Iterator[Callable[[], object]]:
    """Lend a round trip to a process that echoes."""
    argv = [sys.executable, str(Path(__file__).with_name("echo_server.py")), str(path)]
    with (
        subprocess.Popen(argv, stdout=subprocess.PIPE) as server,  # noqa: S603 - our own module
        socket.socket(socket.AF_UNIX) as line,
    ):
        assert server.stdout is not None
        server.stdout.readline()
        line.connect(str(path))

        def round_trip() -> None:
            line.sendall(MESSAGE)
            left = len(MESSAGE)
            while left:
                left -= len(line.recv(left))

        yield round_trip
        line.close()
