"""Orders from the command line to the process that runs a session."""

import json
from subprocess import Popen

import pytest

from command_line import CommandLine
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line

ASKING = """
[team]
name = "pair"
requirement = "two notes"
[personas.writer]
script = ["permanent", "ok"]
give_up_on_failure = false
[personas.slow]
latency_seconds = 600
[[phases]]
name = "write"
[[contracts]]
id = "note"
name = "The note"
phase = "write"
provider_persona_id = "writer"
deliverables = [{ name = "note", artifacts = ["note.md"] }]
[[contracts]]
id = "essay"
name = "The essay"
phase = "write"
provider_persona_id = "slow"
deliverables = [{ name = "essay", artifacts = ["essay.md"] }]
"""


def shown(cli: CommandLine, session: str) -> dict[str, object]:
    report: dict[str, object] = json.loads(cli("session", "show", session, "--json").stdout)
    return report


def test_a_session_that_another_process_runs_is_cancelled_and_the_process_ends(
    cli: CommandLine, running: Popen[str]
) -> None:
    cancelled = cli("session", "cancel", "hel", "--reason", "wrong team")

    assert cancelled.returncode == 0, cancelled.stderr
    assert "session hello is cancelled" in cancelled.stderr
    running.communicate(timeout=BOUND_SECONDS)
    assert shown(cli, "hello")["state"] == "cancelled"


def test_a_pause_is_durable_before_it_is_said(cli: CommandLine, running: Popen[str]) -> None:
    paused = cli("session", "pause", "@last", "--timeout", "0")
    running.kill()
    running.communicate(timeout=BOUND_SECONDS)

    assert paused.returncode == 124, paused.stderr
    assert "it takes longer; detached: session hello goes on in process" in paused.stderr
    assert shown(cli, "hello")["wish"] == "pause"


def test_a_checkpoint_is_taken_while_the_session_runs(
    cli: CommandLine, running: Popen[str]
) -> None:
    taken = cli("session", "checkpoint", "hello", "--name", "before-lunch")
    running.kill()
    running.communicate(timeout=BOUND_SECONDS)

    assert taken.returncode == 0, taken.stderr
    assert "before-lunch" in cli("checkpoint", "list", "hello").stdout


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("session cancel nobody", "error: no such session: 'nobody'"),
        ("session retry hello note", "error: cannot retry task 'note' of session 'hello'"),
        ("session checkpoint hello --name write", "error: the name of a checkpoint must"),
        ("help-needed answer hello note --retry", "error: task 'note' of session 'hello'"),
    ],
)
def test_an_order_that_cannot_be_is_refused_as_if_it_were_given_here(
    cli: CommandLine, running: Popen[str], verb: str, says: str
) -> None:
    beside = cli(*verb.split())
    running.kill()
    running.communicate(timeout=BOUND_SECONDS)
    alone = cli(*verb.split())

    assert says in beside.stderr
    assert beside.returncode == alone.returncode
    assert says in alone.stderr


def test_an_answer_lets_a_task_go_on_in_the_process_that_runs_its_session(
    cli: CommandLine,
) -> None:
    team = cli.directory / "asking.toml"
    team.write_text(ASKING)
    with killed_at_the_end(cli.start("run", team, "--session", "asking")) as process:
        wait_for_line(process, "note: needs a person")
        answered = cli("help-needed", "answer", "asking", "note", "--retry")
        wait_for_line(process, "note: done")

    assert answered.returncode == 0, answered.stderr
