"""An answer is wholly there or wholly absent, wherever its process is killed."""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from command_line import CommandLine

SUPPORT = Path(__file__).parents[1] / "support"

PROGRAM = textwrap.dedent(
    """
    import json, sys
    sys.path.insert(0, sys.argv[1])
    from maestro_runtime.testing import KillAtCommit
    from maestro_actors.help.answer import Answer
    from maestro_runtime.at_rest.answer import answer_at_rest
    from maestro_storage import Store, StorePorts
    ports = StorePorts(observer=KillAtCommit(1, sys.argv[3]))
    with Store.open(sys.argv[2], ports=ports) as store:
        answer_at_rest(store, "s1", "note", Answer(**json.loads(sys.argv[4])))
    """
)


@pytest.mark.parametrize(
    ("answer", "states"),
    [
        ({"decision": "retry", "note": "advice"}, ["done", "done"]),
        ({"decision": "retry", "add_tokens": 7}, ["done", "done"]),
        ({"decision": "skip"}, ["skipped", "done"]),
        ({"decision": "give_up"}, ["failed", "blocked"]),
    ],
    ids=["note", "tokens", "skip", "give_up"],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_its_commit_leaves_an_answer_whole_or_absent(
    cli: CommandLine, when: str, answer: dict[str, object], states: list[str]
) -> None:
    team = cli.team('script = ["permanent"]\ngive_up_on_failure = false')
    cli("run", team, "--session", "s1")
    before = cli("session", "show", "s1", "--json").stdout
    budgets = cli("tokens", "report", "s1", "--json").stdout

    argv = [sys.executable, "-c", PROGRAM, str(SUPPORT), str(cli.state_dir), when]
    killed = subprocess.run([*argv, json.dumps(answer)], check=False, timeout=120)

    assert killed.returncode == -signal.SIGKILL
    if when == "before":
        assert cli("session", "show", "s1", "--json").stdout == before
        assert cli("tokens", "report", "s1", "--json").stdout == budgets
        answered = subprocess.run(
            [*argv[:-1], "never", json.dumps(answer)], check=False, timeout=120
        )
        assert answered.returncode == 0
    resumed = json.loads(cli("session", "resume", "s1", "--json").stdout)
    assert [task["state"] for task in resumed["tasks"]] == states
    rows = json.loads(cli("tokens", "report", "s1", "--json").stdout)["personas"]
    limits = {row["persona_id"]: row["limit_tokens"] for row in rows}
    assert limits["writer"] == 100_000 + int(str(answer.get("add_tokens", 0)))
