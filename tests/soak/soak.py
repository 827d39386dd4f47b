"""A daemon that works for minutes, or hours: does it come back to where it was?

`make soak MINUTES=2`, or `HOURS=8`: sessions run, are paused, cancelled and removed, engines are
killed, the configuration is read again, clients come and go, and the daemon is restarted. In each
life of the daemon what it holds after the last cycle is compared with what it held after a quarter
of its time. The test-suite makes a few seconds of it, and lets daemons leak on purpose.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from command_line import CommandLine
from cycle import Cycle
from daemon_process import PROGRAM, DaemonProcess
from maestro_actors.messages import encode
from maestro_runtime.wire.line import Line
from maestro_runtime.wire.metrics import METRICS_ADDRESS, GetMetrics, MetricsText
from procfs import private_bytes

LIFE_SECONDS: Final = 600.0
"""Longest life of one daemon; there are at least two."""
WARM_CYCLES: Final = 3
"""After so many all threads and pages are there that there will be."""
WARM_SHARE: Final = 0.25
"""Share of a life after which it is: what is remembered of the last thousands of sessions fills."""
CONFIGURATIONS: Final = ("[limits]\nattempts = 8\n", "drain_timeout_seconds = 9\n")

Metrics = dict[str, float]


@dataclass(frozen=True)
class Measure:
    """What is to come back to where it was."""

    name: str
    metric: str
    """Name in the metrics of the daemon; all its labels are added up."""
    more: float
    """What it may have more in the end."""


MEASURES: Final = (
    # What an allocator once had it keeps, and the garbage of some hundred sessions comes and goes:
    # a daemon levels off at 60 MiB or so. What each session leaves is counted in
    # `test_session_memory.py`, block by block.
    Measure("memory (bytes)", "private", 20 << 20),
    Measure("threads", "process_threads", 2),
    Measure("descriptors", "process_open_fds", 2),
    Measure("actors", "maestro_actors", 0),
    Measure("reader slots", "maestro_store_reader_slots", 2),
    Measure("store (bytes)", "maestro_store_used_bytes", 64 << 10),
    Measure("records but usage", "records", 0),
)
USAGE: Final = 'maestro_store_records{database="usage"}'
USAGE_BYTES: Final = 512
"""What a row of the history of usage takes in the store: it outlives its session by design."""


@dataclass(frozen=True)
class Finding:
    """One measure in one life of the daemon."""

    life: int
    name: str
    was: float
    allowed: float
    found: float

    @classmethod
    def of(cls, life: int, item: Measure, was: Metrics, found: Metrics) -> "Finding":
        """Compare a measure after the first few cycles and after the last one."""
        allowed = was[item.metric] + item.more
        if item.metric == "maestro_store_used_bytes":
            allowed += USAGE_BYTES * (found["usage"] - was["usage"])
        return cls(life, item.name, was[item.metric], allowed, found[item.metric])

    @property
    def is_sound(self) -> bool:
        """Whether it has come back."""
        return self.found <= self.allowed

    def __str__(self) -> str:
        word = "ok" if self.is_sound else "LEAK"
        return (
            f"{self.life:5} {self.name:20} {self.was:14,.0f} {self.found:14,.0f} "
            f"{self.allowed:14,.0f} {word}"
        )


HEAD: Final = f"{'life':>5} {'':20} {'baseline':>14} {'at the end':>14} {'allowed':>14}"


def soak(
    directory: Path,
    seconds: float,
    *,
    lives: int | None = None,
    cycles_min: int = 2,
    program: Sequence[str] = PROGRAM,
    say: Callable[[str], None] = print,
) -> list[Finding]:
    """Let daemons work in an empty directory; return what each held in the end.

    Args:
        directory: Everything is in it.
        seconds: How long, but for the cycles that each life has at least.
        lives: How many daemons; None: one for ten minutes, at least two.
        cycles_min: Cycles of a life after those that warm it up, at least.
        program: What the interpreter runs.
        say: Gets a line for each life.
    """
    configuration = directory / "maestro.toml"
    configuration.write_text(CONFIGURATIONS[0])
    lives = lives or max(2, round(seconds / LIFE_SECONDS))
    daemon = DaemonProcess(CommandLine(directory), "--config", configuration, program=program)
    cycle = Cycle(directory, daemon.socket)
    findings: list[Finding] = []
    number = 0
    with daemon:
        for life in range(1, lives + 1):
            begun = time.monotonic()
            warm, until = begun + seconds / lives * WARM_SHARE, begun + seconds / lives
            was: Metrics = {}
            done = sessions = 0
            while done < WARM_CYCLES + cycles_min or time.monotonic() < until:
                number, done = number + 1, done + 1
                sessions += cycle.run(number)
                configuration.write_text(CONFIGURATIONS[number % len(CONFIGURATIONS)])
                daemon.reload()
                if not was and done >= WARM_CYCLES and time.monotonic() >= warm:
                    was = metrics(daemon.socket)
            found = metrics(daemon.socket)
            say(f"life {life}: {done} cycles, {sessions} sessions, {done} engines killed")
            findings += [Finding.of(life, item, was, found) for item in MEASURES]
            if code := daemon.stop():
                raise RuntimeError(f"the daemon ended with exit code {code}")
            if life < lives:
                daemon.start()
    return findings


def metrics(socket: Path) -> Metrics:
    """Return what a daemon says of itself, the labels of each metric added up, and its memory.

    The pages of the data file that it has looked at are not its own: the kernel may take them.
    """
    with Line(socket) as line:
        pid = line.welcome.pid
        answer = line.ask(METRICS_ADDRESS, encode(GetMetrics()))
    found: Metrics = {}
    for text in msgspec.msgpack.decode(answer, type=MetricsText).text.splitlines():
        if not text.startswith("#"):
            series, _, value = text.rpartition(" ")
            name = series.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
            if series == USAGE:
                found["usage"] = float(value)
    found["private"] = private_bytes(pid)
    found["records"] = found["maestro_store_records"] - found["usage"]
    return found


def main() -> None:
    """Soak from the command line; exit code 1 if something does not come back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--hours", type=float, default=0.0, help="instead of minutes")
    options = parser.parse_args()
    seconds = options.hours * 3600 or options.minutes * 60
    with tempfile.TemporaryDirectory() as directory:
        findings = soak(Path(directory), seconds)
    print(HEAD)  # noqa: T201 - a command line
    for finding in findings:
        print(finding)  # noqa: T201 - as above
    sys.exit(any(not finding.is_sound for finding in findings))


if __name__ == "__main__":
    main()
