"""Circuit breakers on the command line, with real processes."""

import json
import re
import signal
from typing import Any

import pytest

from command_line import CommandLine
from maestro_storage import Store

WAITS = 'script = ["transient", "transient", "permanent"]\ngive_up_on_failure = false'


@pytest.fixture
def waiting(cli: CommandLine) -> CommandLine:
    """A session, s1, whose first task has failed by its engine and waits for a person."""
    assert cli("run", cli.team(WAITS), "--session", "s1").returncode == 8
    return cli


def shown(cli: CommandLine, name: str = "rehearsal") -> Any:
    """Return a breaker as `show` has it."""
    result = cli("breaker", "show", name, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["breaker"]


def events(cli: CommandLine, kind: str) -> list[Any]:
    """Return the data of the events of a kind in the history of s1."""
    with Store.inspect(cli.state_dir) as store:
        return [event.data for event in store.events.scan("s1") if event.kind == kind]


def test_breakers_are_listed_with_what_their_calls_came_to(waiting: CommandLine) -> None:
    (breaker,) = json.loads(waiting("breaker", "list", "--json").stdout)["breakers"]

    assert breaker == shown(waiting)
    assert (breaker["name"], breaker["state"], breaker["next_probe_ms"]) == (
        "rehearsal",
        "closed",
        None,
    )
    # The third call was answered: the engine was there, its work was refused.
    assert (breaker["failures"], breaker["failed_total"], breaker["opened_total"]) == (0, 2, 0)
    assert (breaker["calls"], breaker["outcomes"]) == (3, {"permanent": 1, "transient": 2})
    assert breaker["policy"]["failures_max"] == 5
    assert breaker["policy"]["call_timeout_seconds"] is None
    lines = waiting("breaker", "list").stdout.splitlines()
    assert lines[1].split() == ["rehearsal", "closed", "0", "-", "0", "3", "2", "0"]
    assert "calls ended" in waiting("breaker", "show", "rehearsal").stdout


def test_a_breaker_that_never_moved_is_shown_if_a_session_uses_it(cli: CommandLine) -> None:
    assert cli("run", cli.team(), "--session", "s1").returncode == 0

    assert (shown(cli)["state"], shown(cli)["calls"]) == ("closed", 2)


def test_a_breaker_opened_by_hand_holds_the_next_run_until_it_is_reset(
    waiting: CommandLine,
) -> None:
    opened = waiting("breaker", "open", "rehearsal", "--json")

    assert opened.returncode == 0, opened.stderr
    report = json.loads(opened.stdout)["breaker"]
    assert (report["state"], report["opened_total"], report["opened_in_a_row"]) == ("open", 1, 1)
    assert report["changed_by"]
    assert shown(waiting) == report
    (told,) = events(waiting, "breaker_opened")
    assert told["by"] == report["changed_by"]
    waiting("help-needed", "answer", "s1", "note", "--retry")
    resumed = waiting.start("session", "resume", "s1")
    assert resumed.stderr is not None
    waits = re.compile(r"note: waits for circuit breaker of rehearsal; asks again in \d+\.\d s$")
    assert any(waits.search(line) for line in resumed.stderr)
    resumed.send_signal(signal.SIGINT)
    resumed.communicate(timeout=120)
    assert resumed.returncode == 130

    assert waiting("breaker", "reset", "rehearsal").returncode == 0
    done = waiting("session", "resume", "s1")

    assert done.returncode == 0, done.stderr
    assert (shown(waiting)["state"], shown(waiting)["opened_total"]) == ("closed", 1)
    assert len(events(waiting, "breaker_closed")) == 1


@pytest.mark.parametrize("command", ["show", "open", "reset"])
def test_a_breaker_that_nobody_knows_is_not_found_and_not_made(
    waiting: CommandLine, command: str
) -> None:
    result = waiting("breaker", command, "rehearsel")

    assert result.returncode == 5
    assert "no such breaker: 'rehearsel'" in result.stderr
    assert len(json.loads(waiting("breaker", "list", "--json").stdout)["breakers"]) == 1


@pytest.mark.parametrize("command", ["open", "reset"])
def test_without_a_state_nothing_is_created(cli: CommandLine, command: str) -> None:
    assert cli("breaker", command, "rehearsal").returncode == 5
    assert not cli.state_dir.exists()


@pytest.mark.parametrize("command", ["list", "show rehearsal", "open rehearsal", "reset rehearsal"])
def test_breakers_of_a_state_that_another_process_owns_are_left_to_it(
    waiting: CommandLine, command: str
) -> None:
    with Store.open(waiting.state_dir) as store:
        store.stay_silent()
        result = waiting("breaker", *command.split())

    assert result.returncode == 4
    assert "is owned by pid" in result.stderr


def test_sessions_that_have_ended_are_not_told_of_a_change(cli: CommandLine) -> None:
    assert cli("run", cli.team(), "--session", "s1").returncode == 0

    assert cli("breaker", "open", "rehearsal").returncode == 0

    assert events(cli, "breaker_opened") == []
    assert shown(cli)["state"] == "open"


def test_the_environment_governs_every_breaker_and_the_history_tells_what_it_did(
    cli: CommandLine,
) -> None:
    cli.environment |= {
        "MAESTRO_BREAKER_FAILURES_MAX": "1",
        "MAESTRO_BREAKER_RESET_SECONDS": "0.05",
    }

    result = cli("run", cli.team('script = ["transient", "ok"]'), "--session", "s1")

    assert result.returncode == 0, result.stderr
    # The delay is 0.05 s and a tenth of it at most.
    assert re.search(
        r"circuit breaker of rehearsal opened; next probe in 0\.[01] s\n", result.stderr
    )
    assert re.search(r"circuit breaker of rehearsal closed\n", result.stderr)
    assert [len(events(cli, f"breaker_{kind}")) for kind in ("opened", "probed", "closed")] == [
        1,
        1,
        1,
    ]
    breaker = shown(cli)
    assert (breaker["opened_total"], breaker["policy"]["reset_seconds"]) == (1, 0.05)


def test_a_breaker_without_a_time_limit_of_its_own_shows_a_dash(waiting: CommandLine) -> None:
    text = waiting("breaker", "show", "rehearsal").stdout

    (line,) = [line for line in text.splitlines() if "call_timeout_seconds" in line]
    assert line.split() == ["policy", "call_timeout_seconds", "-"]
