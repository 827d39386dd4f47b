"""What a shell is offered when a key is pressed."""

import subprocess
from collections.abc import Iterator

import pytest

from command_line import CommandLine
from running import killed_at_the_end, wait_for_line

TRIES = 5


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A state with two sessions."""
    cli = CommandLine(tmp_path_factory.mktemp("completion"))
    team = cli.team()
    for name in ("first", "second"):
        assert cli("run", team, "--session", name).returncode == 0
    return cli


def offered(cli: CommandLine, *words: str) -> list[str]:
    """Return what is offered for the last of the words that are typed."""
    result = subprocess.run(
        cli.argv(),
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
    assert result.stderr == ""
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


def seen(cli: CommandLine, *words: str) -> Iterator[list[str]]:
    """Yield what is offered at several tries: on a busy machine names may come too late for one."""
    return (offered(cli, *words) for _ in range(TRIES))


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
    assert names in seen(past, *words)


def test_names_are_offered_beside_a_process_that_owns_the_state(cli: CommandLine) -> None:
    team = cli.team("latency_seconds = 600")
    with killed_at_the_end(cli.start("run", team, "--session", "hello")) as process:
        wait_for_line(process, "note: attempt 1 of round 1 started")

        assert ["hello"] in seen(cli, "session", "show", "h")


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
