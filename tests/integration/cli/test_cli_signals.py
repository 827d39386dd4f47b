"""Signals reach a run, whichever thread the kernel hands them to."""

import ctypes
import signal
from pathlib import Path

from command_line import CommandLine
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line


def test_a_signal_that_another_thread_receives_ends_the_run_too(cli: CommandLine) -> None:
    """Python runs the handler in the main thread, which waits for the session meanwhile."""
    team = cli.team('script = ["hang"]')
    with killed_at_the_end(cli.start("run", team, "--session", "s1")) as process:
        wait_for_line(process, "attempt 1 of round 1 started")
        threads = {int(path.name) for path in Path(f"/proc/{process.pid}/task").iterdir()}

        # One of those that were there may have ended meanwhile.
        told = (
            ctypes.CDLL(None).tgkill(process.pid, thread, signal.SIGTERM)
            for thread in threads - {process.pid}
        )
        assert 0 in told
        _, rest = process.communicate(timeout=BOUND_SECONDS)

    assert process.returncode == 143
    assert "to go on: maestro-runtime session resume s1" in rest
