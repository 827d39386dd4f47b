"""`--context`: what applies to one run, over flags, environment and team file."""

import json
from typing import Any

from command_line import CommandLine

CONTEXT = '{"max_attempts": 1, "retry": {"max_rounds": 1}, "give_up_on_failure": false}'


def test_a_run_follows_its_context_and_a_resumed_session_keeps_it(cli: CommandLine) -> None:
    team = cli.team('script = ["transient", "transient", "ok"]')
    cli.environment["MAESTRO_MAX_ATTEMPTS"] = "7"

    result = cli("run", team, "--session", "s1", "--context", CONTEXT, "--json")

    assert result.returncode == 8, result.stderr
    assert [len(task["attempts"]) for task in json.loads(result.stdout)["tasks"]] == [1, 0]
    cli("help-needed", "answer", "s1", "note", "--retry")
    resumed = json.loads(cli("session", "resume", "s1", "--json").stdout)
    # An answer grants one round; by the context it has one attempt, by the environment seven.
    assert [len(task["attempts"]) for task in resumed["tasks"]] == [2, 0]
    assert resumed["state"] == "help_needed"


def test_config_show_says_what_comes_from_the_context(cli: CommandLine) -> None:
    cli.environment["MAESTRO_MAX_ATTEMPTS"] = "7"

    def shown(*arguments: object) -> dict[str, Any]:
        result = cli("config", "show", *arguments, "--context", CONTEXT, "--json")
        return {item["key"]: item for item in json.loads(result.stdout)["values"]}

    team, alone = shown(cli.team()), shown()

    assert alone["max_attempts"]["source"] == "context max_attempts"
    assert alone["max_rounds"]["source"] == "context retry.max_rounds"
    assert alone["token_budget"]["source"] == "built-in"
    assert team["personas.writer.max_attempts"] == {
        "key": "personas.writer.max_attempts",
        "value": 1,
        "source": "context max_attempts",
    }
    assert team["breakers.rehearsal.failures_max"]["source"] == "built-in"


def test_a_context_that_breaks_a_rule_starts_nothing(cli: CommandLine) -> None:
    result = cli("run", cli.team(), "--context", '{"max_attempt": 1}')

    assert result.returncode == 2
    assert "error: context max_attempt: 'max_attempt' is not a known key" in result.stderr
    assert not cli.state_dir.exists()
