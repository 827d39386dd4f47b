"""Orders on the command line: labels, idempotency keys, filters, pages, changed teams."""

import json
from typing import get_args

import pytest

from command_line import CommandLine
from json_shape import GOLDEN, shape
from maestro_storage.records import SessionState

BAD_TEAM = 'script = ["permanent"]\ngive_up_on_failure = false'


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """Return a command line over three sessions; only for commands that look."""
    cli = CommandLine(tmp_path_factory.mktemp("three"))
    for session, persona, label in (
        ("one", "", "team=payments"),
        ("two", "", "team=search"),
        ("three", BAD_TEAM, "team=search"),
    ):
        cli("run", cli.team(persona), "--session", session, "--label", label, "--label", "n=x")
    return cli


def listed(cli: CommandLine, *arguments: str) -> list[str]:
    result = cli("session", "list", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    return [row["session_id"] for row in json.loads(result.stdout)["sessions"]]


def test_conditions_are_and_ed_and_states_are_or_ed(three: CommandLine) -> None:
    assert listed(three, "--state", "done", "--state", "help_needed", "--label", "team=search") == [
        "three",
        "two",
    ]
    assert listed(three, "--label", "team", "--waiting-for", "person") == ["three"]
    assert listed(three, "--persona", "writer", "--phase", "check") == []
    assert listed(three, "--contract", "note", "--since", "1h", "--min-tokens", "1") == [
        *("three", "two", "one"),
    ]
    assert listed(three, "--min-tokens", "1000000") == []
    assert listed(three, "--min-cost", "0.000000001") == []
    assert listed(three, "--until", "2020-01-01") == []


def test_a_page_says_how_the_next_one_is_begun(three: CommandLine) -> None:
    first = three("session", "list", "--limit", "2", "--json")
    page = json.loads(first.stdout)
    assert listed(three, "--limit", "2", "--cursor", page["next_cursor"]) == ["one"]

    text = three("session", "list", "--limit", "2")

    lines = [line.split() for line in text.stdout.splitlines()]
    assert lines[0][-1] == "LABELS"
    assert [line[0] for line in lines[1:]] == ["three", "two"]
    assert lines[1][-1] == "n=x,team=search"
    assert text.stderr == f"there are more: --cursor {page['next_cursor']}\n"
    golden = json.loads((GOLDEN / "sessions_page.json").read_text())
    assert shape(page) == golden


def test_labels_are_shown(three: CommandLine) -> None:
    result = three("session", "show", "one")

    assert [line.split() for line in result.stdout.splitlines()][-3:] == [
        ["LABEL", "VALUE"],
        ["n", "x"],
        ["team", "payments"],
    ]
    assert json.loads(three("session", "show", "one", "--json").stdout)["labels"] == {
        "n": "x",
        "team": "payments",
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--state", "odd"), "must be one of queued, running, "),
        (("--waiting-for", "godot"), "'godot' is not one of 'call', "),
        (("--cursor", "x"), "error: a cursor must be one that a list of sessions has ended with"),
        (("--limit", "0"), "0 is not in the range"),
        (("--min-cost", "nan"), "must be an amount of USD such as 0.25, got 'nan'"),
        (("--min-cost", "x"), "must be an amount of USD such as 0.25, got 'x'"),
        (("--min-cost=-1",), "must be an amount of USD such as 0.25, got '-1'"),
        (("--since", "noon"), "must be an instant like "),
    ],
)
def test_a_condition_that_is_none_is_bad_usage(
    three: CommandLine, arguments: tuple[str, ...], text: str
) -> None:
    result = three("session", "list", *arguments)

    assert result.returncode == 2
    assert text in " ".join(result.stderr.split())


def test_a_key_finds_its_session_and_another_input_is_a_conflict(cli: CommandLine) -> None:
    arguments = ("--idempotency-key", "k-1", "--output", "out", "--json")
    first = cli("run", cli.team(), *arguments)

    again = cli("run", cli.team(), *arguments)
    other = cli("run", cli.team("token_budget = 5"), *arguments)

    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert json.loads(first.stdout)["idempotency_key"] == "k-1"
    assert other.returncode == 6
    assert "idempotency key 'k-1' belongs to session 'pair-" in other.stderr
    assert "persona 'writer': token_budget changed from 100000 to 5" in other.stderr
    assert cli("run", cli.team(), "--idempotency-key", "a b").returncode == 2
    assert cli("run", cli.team(), "--label", "x").returncode == 2


def test_a_changed_team_file_is_shown_and_runs_once_it_is_accepted(cli: CommandLine) -> None:
    assert cli("run", cli.team(BAD_TEAM), "--session", "s1").returncode == 8
    mended = cli.team('script = ["ok"]\ngive_up_on_failure = false')

    shown = cli("session", "resume", "s1", "--team", mended)
    assert shown.returncode == 6
    assert (
        'error:   persona \'writer\': script changed from ["permanent"] to ["ok"]' in shown.stderr
    )
    assert "nothing was run; to go on with a changed team, accept it: --accept-changes" in (
        shown.stderr
    )

    assert cli("help-needed", "answer", "s1", "note", "--retry").returncode == 0
    done = cli("session", "resume", "s1", "--team", mended, "--accept-changes")

    assert done.returncode == 0
    assert "goes on with a changed team: persona 'writer': script changed" in done.stderr
    other = cli("run", cli.team(BAD_TEAM), "--session", "s1")
    assert other.returncode == 6
    assert "nothing was run; run --session NAME starts another\n" in other.stderr
    assert "another team, and is done, so its team cannot be changed:" in other.stderr
    late = cli("run", cli.team(BAD_TEAM), "--session", "s1", "--accept-changes")
    assert late.returncode == 6
    assert "team of session 's1' cannot be changed: it is done" in late.stderr


def test_every_state_of_a_session_can_be_asked_for(three: CommandLine) -> None:
    states = [f"--state={state}" for state in get_args(SessionState)]

    assert listed(three, *states) == ["three", "two", "one"]
