"""Signals reach a run, whichever thread the kernel hands them to."""

import ctypes
import signal
from pathlib import Path

from command_line import CommandLine


def test_a_signal_that_another_thread_receives_ends_the_run_too(cli: CommandLine) -> None:
    """Python runs the handler in the main thread, which waits for the session meanwhile."""
    team = cli.team('script = ["hang"]')
    with cli.start("run", team, "--session", "s1") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "attempt 1 of round 1 started" in line:
                break
        threads = {int(path.name) for path in Path(f"/proc/{process.pid}/task").iterdir()}

        ctypes.CDLL(None).tgkill(process.pid, max(threads - {process.pid}), signal.SIGTERM)

        try:
            code = process.wait(20)
        finally:
            process.kill()
        rest = process.stderr.read()

    assert code == 143
    assert "to go on: maestro-runtime session resume s1" in rest
