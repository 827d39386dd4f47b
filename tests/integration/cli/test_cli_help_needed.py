"""Tickets and answers on the command line, with real processes."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import CommandLine
from json_shape import GOLDEN, shape
from ticket_server import TicketServer, serving

KEY = bytes(range(24))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
WAITS = 'script = ["permanent"]\ngive_up_on_failure = false'


@pytest.fixture
def server() -> Iterator[TicketServer]:
    """A server that records what it is asked."""
    with serving() as state:
        yield state


@pytest.fixture
def waiting(cli: CommandLine) -> CommandLine:
    """A session, s1, whose first task waits for a person."""
    assert cli("run", cli.team(WAITS), "--session", "s1").returncode == 8
    return cli


def test_a_run_that_needs_a_person_prints_where_its_ticket_is(cli: CommandLine) -> None:
    result = cli("run", cli.team(WAITS), "--session", "s1", "--json")

    assert result.returncode == 8
    ticket = json.loads(result.stdout)["tasks"][0]["ticket"]
    path = Path(ticket["reference"])
    assert (ticket["state"], ticket["tries"]) == ("done", 1)
    assert path.parent == cli.state_dir / "tickets"
    assert "maestro-runtime help-needed answer s1 note --retry" in path.read_text()


def test_a_task_that_is_given_up_has_a_ticket_and_the_verdict_it_had(cli: CommandLine) -> None:
    result = cli("run", cli.team('script = ["permanent"]'), "--session", "s1")

    assert result.returncode == 1
    assert f"note: ticket {cli.state_dir}/tickets/" in result.stderr


def test_what_waits_is_listed_and_shown(waiting: CommandLine) -> None:
    listed = json.loads(waiting("help-needed", "list", "--json").stdout)["requests"]
    shown = waiting("help-needed", "show", "s1", "note")

    (request,) = listed
    assert (request["session_id"], request["task_id"], request["failure"]) == (
        "s1",
        "note",
        "permanent",
    )
    assert "Contract The note (note) of session s1 waits for an answer." in shown.stdout
    assert waiting("help-needed", "list", "s1").stdout.count("\n") == 2


def test_a_ticket_of_a_state_that_a_flag_names_says_which_flag_its_commands_need(
    waiting: CommandLine,
) -> None:
    plain = waiting("help-needed", "show", "s1", "note")
    named = waiting("help-needed", "show", "s1", "note", "--state-dir", waiting.state_dir)

    assert (named.stdout, plain.stderr) == (plain.stdout, "")
    assert named.stderr == f"each of its commands ends with: --state-dir {waiting.state_dir}\n"


def test_the_json_of_a_ticket_and_of_an_answer_keeps_its_shape(waiting: CommandLine) -> None:
    text = waiting("help-needed", "show", "s1", "note").stdout
    ticket = json.loads(waiting("help-needed", "show", "s1", "note", "--json").stdout)
    answered = waiting("help-needed", "answer", "s1", "note", "--skip", "--json")

    assert shape(ticket) == json.loads((GOLDEN / "ticket.json").read_text())
    assert text.split() == ticket["text"].split()
    said = json.loads(answered.stdout)
    assert shape(said) == json.loads((GOLDEN / "answer.json").read_text())
    assert (said["session_id"], said["task_id"]) == ("s1", "note")
    assert (said["decision"], said["goes_on"], answered.stderr) == ("skip", False, "")


def test_a_run_that_needs_a_person_says_how_to_go_on(cli: CommandLine) -> None:
    result = cli("run", cli.team(WAITS), "--session", "s1")

    assert "session s1 needs help: 0 of 2 tasks done" in result.stderr
    assert result.stderr.endswith("to see what to answer: maestro-runtime help-needed list s1\n")


def test_a_ticket_says_how_to_pay_only_if_a_budget_could_not(
    waiting: CommandLine, cli: CommandLine
) -> None:
    team = cli.team("give_up_on_failure = false")
    team.write_text(team.read_text() + '[[budgets]]\nid = "tight"\nlimit = 1\n')
    assert cli("run", team, "--session", "s2").returncode == 7

    poor = cli("help-needed", "show", "s2", "note").stdout
    refused = waiting("help-needed", "show", "s1", "note").stdout

    assert "with more tokens for writer: maestro-runtime help-needed answer s2 note" in poor
    assert "could not pay: maestro-runtime tokens top-up BUDGET AMOUNT --reason TEXT\n" in poor
    assert "top-up" not in refused


@pytest.mark.parametrize("name", ["@last", "s"])
def test_a_session_can_be_named_in_short_to_look_and_to_answer(
    waiting: CommandLine, name: str
) -> None:
    assert "of session s1 waits" in waiting("help-needed", "show", name, "note").stdout
    assert "s1" in waiting("help-needed", "list", name).stdout

    result = waiting("help-needed", "answer", name, "note", "--retry")

    assert (result.returncode, result.stderr) == (
        0,
        "answered; to go on: maestro-runtime session resume s1\n",
    )
    assert waiting("help-needed", "list").stderr == "nothing waits for a person\n"


@pytest.mark.parametrize(
    ("arguments", "code", "states"),
    [
        (["--retry"], 0, ["done", "done"]),
        (["--note", "in German, please"], 0, ["done", "done"]),
        (["--raise-budget", "500"], 0, ["done", "done"]),
        (["--skip", "--note", "not needed"], 1, ["skipped", "done"]),
        (["--give-up"], 1, ["failed", "blocked"]),
    ],
    ids=["retry", "note", "raise-budget", "skip", "give-up"],
)
def test_an_answer_is_durable_at_once_and_the_session_goes_on_with_it(
    waiting: CommandLine, arguments: list[str], code: int, states: list[str]
) -> None:
    answered = waiting("help-needed", "answer", "s1", "note", *arguments)
    assert answered.returncode == 0, answered.stderr
    assert json.loads(waiting("help-needed", "list", "--json").stdout)["requests"] == []
    resumed = waiting("session", "resume", "s1", "--json")

    assert resumed.returncode == code, resumed.stderr
    assert [task["state"] for task in json.loads(resumed.stdout)["tasks"]] == states
    if "500" in arguments:
        rows = json.loads(waiting("tokens", "report", "s1", "--json").stdout)["personas"]
        assert [row["limit_tokens"] for row in rows] == [100_000, 100_500]


def test_the_same_run_command_goes_on_after_an_answer(waiting: CommandLine) -> None:
    waiting("help-needed", "answer", "s1", "note", "--retry")

    assert waiting("run", waiting.directory / "team.toml", "--session", "s1").returncode == 0


def test_the_same_failure_again_is_added_to_the_same_ticket(cli: CommandLine) -> None:
    team = cli.team('script = ["permanent", "permanent"]\ngive_up_on_failure = false')
    cli("run", team, "--session", "s1")
    cli("help-needed", "answer", "s1", "note", "--retry")

    assert cli("session", "resume", "s1").returncode == 8

    (path,) = (cli.state_dir / "tickets").iterdir()
    assert path.read_text().count("# s1/note:") == 1 + 1


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["s1", "note"], 2, "give one of --retry, --note, --raise-budget, --accept"),
        (["s1", "note", "--skip", "--give-up"], 2, "give one of"),
        (["s1", "note", "--raise-budget", "0"], 2, "--raise-budget must be at least 1, got 0"),
        (["s1", "note", "--note", "x" * 4001], 2, "must be at most 4000 characters, got 4001"),
        (["s1", "review", "--retry"], 6, "must wait for a person to be answered, it is 'queued'"),
        (["s1", "poem", "--retry"], 5, "s1/poem"),
        (["s9", "note", "--retry"], 5, "s9"),
    ],
)
def test_an_answer_that_cannot_be_given_changes_nothing(
    waiting: CommandLine, arguments: list[str], code: int, text: str
) -> None:
    before = waiting("session", "show", "s1", "--json").stdout

    result = waiting("help-needed", "answer", *arguments)

    assert (result.returncode, text in result.stderr) == (code, True), result.stderr
    assert waiting("session", "show", "s1", "--json").stdout == before


def test_an_answer_to_a_state_that_does_not_exist_creates_none(cli: CommandLine) -> None:
    assert cli("help-needed", "answer", "s1", "note", "--retry").returncode == 5
    assert not cli.state_dir.exists()


def test_a_sink_that_is_down_changes_no_exit_code_and_the_next_start_delivers(
    cli: CommandLine, server: TicketServer
) -> None:
    cli.environment |= {
        "MAESTRO_TICKET_SINK": "webhook",
        "MAESTRO_WEBHOOK_URL": f"{server.url}/capability/hook",
        "MAESTRO_WEBHOOK_SECRET": SECRET,
    }
    server.status = 503
    result = cli("run", cli.team(WAITS), "--session", "s1")
    assert result.returncode == 8
    assert "note: ticket pending; it is sent as soon as it can be" in result.stderr
    server.status = 0

    # The back-off of the first try is over after five seconds, whoever waits for it.
    again = cli("session", "resume", "s1", "--json")

    assert again.returncode == 8
    (request,) = server.posts("/hook")
    assert (
        json.loads(again.stdout)["tasks"][0]["ticket"]["reference"]
        == (request.headers["webhook-id"])
    )


def test_no_secret_is_in_the_state_the_output_or_the_errors(
    cli: CommandLine, server: TicketServer
) -> None:
    server.status = 500
    cli.environment |= {
        "MAESTRO_TICKET_SINK": "webhook",
        "MAESTRO_WEBHOOK_URL": f"{server.url}/capability/hook",
        "MAESTRO_WEBHOOK_SECRET": SECRET,
    }

    result = cli("run", cli.team(WAITS), "--session", "s1", "--json")

    assert "ticket_delayed" in result.stderr
    written = b"".join(path.read_bytes() for path in cli.state_dir.rglob("*") if path.is_file())
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "/capability/hook"):
        assert secret not in result.stdout + result.stderr
        assert secret.encode() not in written


def test_a_sink_that_is_configured_wrongly_is_refused_before_anything_starts(
    cli: CommandLine,
) -> None:
    cli.environment["MAESTRO_TICKET_SINK"] = "jira"

    result = cli("run", cli.team(), "--session", "s1")

    assert result.returncode == 2
    assert "environment MAESTRO_JIRA_URL must be" in result.stderr
    assert not cli.state_dir.exists()


def test_a_question_is_one_ticket_each_time_it_is_asked_and_a_yes_fulfils_the_contract(
    cli: CommandLine,
) -> None:
    team = cli.team()
    question = 'checks = [{ kind = "human", question = "is it good?" }]'
    text = team.read_text().replace(
        'provider_persona_id = "writer"', f'provider_persona_id = "writer"\n{question}'
    )
    team.write_text(text)
    assert cli("run", team, "--session", "s1").returncode == 8
    cli("help-needed", "answer", "s1", "note", "--retry")
    assert cli("session", "resume", "s1").returncode == 8
    (ticket,) = (cli.state_dir / "tickets").iterdir()
    assert ticket.read_text().count("help-needed answer s1 note --accept") == 2

    accepted = cli("help-needed", "answer", "s1", "note", "--accept", "--note", "it reads well")
    resumed = cli("session", "resume", "s1", "--json")

    assert accepted.returncode == 0, accepted.stderr
    assert resumed.returncode == 0, resumed.stderr
    note = json.loads(resumed.stdout)["tasks"][0]
    assert (note["state"], note["contract_fulfilled"]) == ("done", True)
    assert note["artifacts"]
    (check,) = note["checks"]
    assert (check["verdict"], check["score"], note["quality_score"]) == ("pass", 1.0, 1.0)
    assert check["got"].startswith("yes")
    assert check["got"].endswith(": it reads well")
    shown = cli("session", "show", "s1").stdout
    assert "pending" not in shown
