"""How long does the command line take to start?

`maestro-runtime --help`, and `session list` of a state with one session, which nobody has open or
a daemon has; each beside `python -c pass` of the same interpreter.
"""

import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from daemon_state import served
from measure import Options, interleaved
from noop_session import noop_sessions, team_of
from row import Row, Target

DAEMON = "session list against a daemon"
STARTS = 3
"""In each round; the fastest counts, since nothing makes a start faster than it is."""


def measure(options: Options) -> list[Row]:
    """Measure milliseconds from the start of a process to its end."""
    with options.scratch() as directory, ExitStack() as stack:
        with noop_sessions(directory) as sessions:
            sessions.run(team_of(1, 1))
        shutil.copytree(directory / "state", directory / "served")
        state = str(directory / "state")
        kept = stack.enter_context(served(directory / "served")).parent
        commands = {
            "pass": ["-c", "pass"],
            "--help": ["-m", "maestro_runtime", "--help"],
            "session list": ["-m", "maestro_runtime", "session", "list", "--state-dir", state],
            DAEMON: ["-m", "maestro_runtime", "session", "list", "--state-dir", str(kept)],
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
        for name in ("--help", "session list", DAEMON)
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
