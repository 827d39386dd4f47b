"""SIGSTOP: a process that stands still stays the owner, and goes on where it was."""

import os
import random
import selectors
import signal
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from command_line import CommandLine
from crash_team import engine_runs, write_team
from invariants import Observed, check_end
from maestro_runtime.cli._event_line import EventLine

SESSION: Final = "paused"
EVENTS: Final = 12
RUN_SECONDS_MAX: Final = 40.0
OWNED: Final = 4


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Stop the run at an event, try to start another, let it go on to its end; count the stops."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    cli = CommandLine(directory)
    team = write_team(directory, tasks_per_phase=3)
    moment = chance.randint(1, EVENTS)
    lines: list[bytes] = []
    with cli.start("run", team, "--session", SESSION, "--json") as process:
        assert process.stderr is not None
        with selectors.DefaultSelector() as reader:
            reader.register(process.stderr, selectors.EVENT_READ)
            while len(lines) < moment and reader.select(RUN_SECONDS_MAX):
                lines.append(process.stderr.buffer.readline())  # type: ignore[attr-defined] # a text pipe has it
        process.send_signal(signal.SIGSTOP)
        # It may have come to its end a moment before.
        state = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        stopped = state is not None and state.si_code == os.CLD_STOPPED
        try:
            refused = cli("run", team, "--session", SESSION)
        finally:
            process.send_signal(signal.SIGCONT)
        _, rest = process.communicate(timeout=RUN_SECONDS_MAX)
    assert process.returncode == 0, rest
    assert refused.returncode == (OWNED if stopped else 0), refused.stderr
    assert not stopped or f"owned by pid {process.pid}" in refused.stderr
    told = [*lines, *rest.encode().splitlines(keepends=True)]
    events = [msgspec.json.decode(line, type=EventLine) for line in told if line.startswith(b"{")]
    observed = Observed(events, engine_runs(directory))
    check_end(cli.state_dir, observed, frozenset())
    return Counter(stops=int(stopped), ends=1)
