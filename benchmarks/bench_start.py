"""How long does the command line take to start?

`maestro-runtime --help` and `session list` on an embedded state with one session, each beside
`python -c pass` of the same interpreter.
"""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from measure import Options, interleaved
from noop_session import noop_sessions, team_of
from row import Row, Target

STARTS = 3
"""In each round; the fastest counts, since nothing makes a start faster than it is."""


def measure(options: Options) -> list[Row]:
    """Measure milliseconds from the start of a process to its end."""
    with options.scratch() as directory:
        with noop_sessions(directory) as sessions:
            sessions.run(team_of(1, 1))
        state = str(directory / "state")
        commands = {
            "pass": ["-c", "pass"],
            "--help": ["-m", "maestro_runtime", "--help"],
            "session list": ["-m", "maestro_runtime", "session", "list", "--state-dir", state],
        }
        samples = interleaved(
            options.rounds,
            {name: partial(_start_ms, argv, directory) for name, argv in commands.items()},
        )
    return [
        Row(
            question=f"start of the command line, {name}",
            unit="ms",
            ours=samples[name],
            beside="python -c pass",
            theirs=samples["pass"],
            target=Target("at most", 150, "difference"),
        )
        for name in ("--help", "session list")
    ]


def _start_ms(arguments: list[str], directory: Path) -> float:
    seconds = []
    for _ in range(STARTS):
        before = time.perf_counter()
        subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=directory
        )
        seconds.append(time.perf_counter() - before)
    return min(seconds) * 1000
