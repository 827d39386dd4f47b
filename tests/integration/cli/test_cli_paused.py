import shlex

from command_line import CommandLine
from maestro_actors.verbs.wish import paused
from maestro_storage import Store


def test_a_paused_session_says_why_and_how_to_go_on(cli: CommandLine) -> None:
    cli("run", cli.team('script = ["transient", "ok"]'), "--session", "s-1")
    with Store.open(cli.state_dir) as store:
        draft = paused(store.require_session("s-1"), "its stretch is done", 9, store.epoch)
        store.journal.commit(draft).result()

    shown, result = cli("session", "show", "s-1"), cli("session", "result", "s-1")

    assert "session s-1 is paused" in shown.stderr
    assert "paused: its stretch is done" in shown.stderr
    assert "to go on: maestro-runtime session resume s-1" in shown.stderr
    assert result.returncode == 10
    assert "paused" in cli("session", "list").stdout


def test_what_is_said_to_type_is_about_the_state_that_a_flag_has_named(cli: CommandLine) -> None:
    run = ("run", cli.team(), "--session", "s-1", "--until", "write")

    paused = cli(*run, "--state-dir", "of its own")
    _, _, typed = paused.stderr.rpartition("to go on: maestro-runtime ")
    resumed = cli(*shlex.split(typed))

    assert paused.returncode == 10, paused.stderr
    assert typed == "session resume s-1 --state-dir 'of its own'\n"
    assert resumed.returncode == 0, resumed.stderr
