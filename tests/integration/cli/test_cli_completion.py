"""What a shell is offered when a key is pressed."""

import os
import signal
import subprocess
import sys
from typing import Final

import pytest

from command_line import CommandLine
from running import killed_at_the_end, wait_for_line

PATIENT: Final = "from maestro_runtime.cli import _completion as it; it.PATIENCE_SECONDS = 100"
"""On a busy machine a name may take longer to find than whoever presses a key would wait."""

DEAF: Final = "from maestro_runtime.wire import line as it; it.WELCOME_SECONDS = 3600"
"""An owner that says nothing would be waited for beyond the end of any test."""


LOADED: Final = f"""{PATIENT}
import atexit, sys, threading
class Thread(threading.Thread):
    def start(self):
        before = set(sys.modules)
        atexit.register(lambda: [
            print("loaded," + name) for name in set(sys.modules) - before if "maestro" in name
        ])
        super().start()
threading.Thread = Thread"""
"""What is loaded while the clock runs is offered, too."""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A state with two sessions."""
    cli = CommandLine(tmp_path_factory.mktemp("completion"))
    team = cli.team()
    for name in ("first", "second"):
        assert cli("run", team, "--session", name).returncode == 0
    return cli


def offered(cli: CommandLine, *words: str, given: str = PATIENT) -> list[str]:
    """Return what is offered for the last of the words that are typed."""
    program = f"{given}; from maestro_runtime.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cli.directory,
        env={
            **cli.environment,
            "_MAESTRO_RUNTIME_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("maestro-runtime", *words)),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


def test_commands_and_options_are_offered(past: CommandLine) -> None:
    assert offered(past, "se") == ["serve", "session"]
    assert "--kind" in offered(past, "events", "--")
    assert "logs" in offered(past, "session", "lo")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("session", "show", ""), ["second", "first", "@last"]),
        (("session", "logs", "f"), ["first"]),
        (("session", "show", "none"), []),
        (("session", "retry", "first", ""), ["note", "review"]),
        (("session", "retry", "@last", "r"), ["review"]),
        (("session", "rerun", "first", "--from", ""), ["write", "check", "init"]),
        (("breaker", "show", ""), ["rehearsal"]),
        (("tokens", "top-up", "per"), ["persona/reviewer", "persona/writer"]),
        (("session", "list", "--state", "pa"), ["paused"]),
        (("session", "retry", "no-such-session", ""), []),
    ],
)
def test_names_on_record_are_offered(
    past: CommandLine, words: tuple[str, ...], names: list[str]
) -> None:
    assert offered(past, *words) == names


def test_names_are_offered_beside_a_process_that_owns_the_state(cli: CommandLine) -> None:
    team = cli.team("latency_seconds = 600")
    with killed_at_the_end(cli.start("run", team, "--session", "hello")) as process:
        wait_for_line(process, "note: attempt 1 of round 1 started")

        assert offered(cli, "session", "show", "h") == ["hello"]
        assert offered(cli, "session", "show", "h", given=LOADED) == ["hello"]


def test_nothing_is_loaded_in_the_time_that_is_meant_for_the_disk(past: CommandLine) -> None:
    assert offered(past, "session", "show", "f", given=LOADED) == ["first"]


def test_whoever_presses_a_key_does_not_wait_for_an_owner_that_stands_still(
    cli: CommandLine,
) -> None:
    team = cli.team("latency_seconds = 600")
    with killed_at_the_end(cli.start("run", team, "--session", "hello")) as process:
        wait_for_line(process, "note: attempt 1 of round 1 started")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)

        assert offered(cli, "session", "show", "h", given=DEAF) == []


def test_without_a_state_nothing_is_offered_and_none_is_made(cli: CommandLine) -> None:
    assert offered(cli, "session", "show", "") == []
    assert not cli.state_dir.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(past: CommandLine, shell: str) -> None:
    result = past("completion", shell)

    assert (result.returncode, result.stderr) == (0, "")
    assert f"_MAESTRO_RUNTIME_COMPLETE={shell}_complete" in result.stdout


def test_the_script_is_one_that_bash_takes(past: CommandLine) -> None:
    script = past("completion", "bash").stdout

    checked = subprocess.run(
        ["/bin/bash", "-n"], input=script, capture_output=True, text=True, check=False, timeout=120
    )

    assert (checked.returncode, checked.stderr) == (0, "")
