from command_line import CommandLine
from maestro_actors.wish import paused
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
