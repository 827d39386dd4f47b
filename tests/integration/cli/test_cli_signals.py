"""Signals reach a run, whichever thread the kernel hands them to."""

import ctypes
import signal
from pathlib import Path

import pytest

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


IMPORTING = """
import sys
import threading

print("importing", file=sys.stderr, flush=True)
threading.Event().wait()
"""

IN_A_CALLBACK = """
import sys
import threading
import weakref


def called(_):
    print("importing", file=sys.stderr, flush=True)
    threading.Event().wait()


class Lock:
    pass


lock = Lock()
watch = weakref.ref(lock, called)
del lock
threading.Event().wait()
"""
"""Python drops what is raised there, and so it does in the callbacks of its own imports."""


@pytest.mark.parametrize(
    ("arguments", "module", "number", "code"),
    [
        (("serve",), IMPORTING, signal.SIGTERM, 0),
        (("serve",), IMPORTING, signal.SIGINT, 0),
        (("serve",), IN_A_CALLBACK, signal.SIGTERM, 0),
        (("serve",), IN_A_CALLBACK, signal.SIGINT, 0),
        (("run", "team.toml"), IMPORTING, signal.SIGTERM, 143),
        (("run", "team.toml"), IMPORTING, signal.SIGINT, 130),
        (("session", "list"), IMPORTING, signal.SIGTERM, 143),
    ],
    ids=lambda value: {IMPORTING: "module", IN_A_CALLBACK: "callback"}.get(value, str(value)),
)
def test_a_signal_while_modules_are_loaded_ends_with_its_code_and_leaves_nothing(
    cli: CommandLine, arguments: tuple[str, ...], module: str, number: signal.Signals, code: int
) -> None:
    cli.team()
    modules = cli.directory / "modules"
    modules.mkdir()
    (modules / "lmdb.py").write_text(module)
    cli.environment["PYTHONPATH"] = str(modules)

    with killed_at_the_end(cli.start(*arguments)) as process:
        wait_for_line(process, "importing")
        process.send_signal(number)
        _, said = process.communicate(timeout=BOUND_SECONDS)

    assert (process.returncode, said.strip()) == (code, "")
    assert not cli.state_dir.exists()
