"""Secrets that are planted wherever one may be, echoed by whoever can: none is found afterwards.

Not among what is searched: the workspace, whose files are the personas' own.
"""

import base64
import json
import os
import signal
from pathlib import Path
from urllib.parse import quote

import pytest

from command_line import CommandLine
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line
from served import serving, stopped

SECRETS = {
    "SERVICE_API_KEY": "c4nary/env+key=one",
    "SHORT_TOKEN": "q7Zx",
    "DATABASE_PASSWORD": 'c4nary"quoted\\two',
    "MAESTRO_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"c4nary-webhook-secret-three").decode(),
    "MAESTRO_WEBHOOK_URL": "http://127.0.0.1:9/c4nary-capability-four?token=c4nary-five",
}

TEAM = """
[team]
name = "hostile"
requirement = "notes"
[defaults]
max_attempts = 2
max_rounds = 1
backoff_seconds = 0.01
backoff_max_seconds = 0.01
round_backoff_seconds = [0.01]
[personas.shouter]
engine = "command"
command = { argv = ["python3", "ENGINE", "fail"], environment = { A = "${SERVICE_API_KEY}", \
B = "${SHORT_TOKEN}", C = "${DATABASE_PASSWORD}" } }
[personas.boaster]
engine = "command"
command = { argv = ["python3", "ENGINE", "boast"], environment = { A = "${SERVICE_API_KEY}", \
B = "${SHORT_TOKEN}", C = "${DATABASE_PASSWORD}" } }
[personas.thrower]
engine = "python"
callable = "hostile:throw"
[personas.checked]
[[budgets]]
id = "tiny"
limit = 100
action = "warn"
[[phases]]
name = "build"
CONTRACTS
"""

CONTRACT = """
[[contracts]]
id = "{0}"
name = "{0}"
phase = "build"
provider_persona_id = "{0}"
deliverables = [{{ name = "note", artifacts = ["{0}.md"] }}]
{1}
"""

ENGINE = """
import base64, json, os, sys
from pathlib import Path
from urllib.parse import quote

values = [os.environ[name] for name in "ABC"]
echo = " ".join(
    spelled
    for value in values
    for spelled in (value, json.dumps(value), quote(value, safe=""),
                    base64.b64encode(("me:" + value).encode()).decode())
)
print("stdout", echo)
print("stderr", echo, file=sys.stderr)
if sys.argv[1] == "fail":
    # Evidence is the last 2000 bytes: they begin in the middle of a secret.
    sys.exit(values[0] + "x" * 1990)
Path("boaster.md").write_text("fine")
report = {"message": "wrote boaster.md and " + values[0] + " " + echo,
          "decisions": {"key": values[2], values[1]: echo}}
Path(os.environ["MAESTRO_RESULT"]).write_text(json.dumps(report))
"""

HOSTILE = """
import logging, os, sys


def throw(task):
    echo = os.environ["SERVICE_API_KEY"] + " " + os.environ["DATABASE_PASSWORD"]
    print("printed", echo)
    sys.stdout.buffer.write(b"in bytes\\n")
    # Told in pieces: the first would end in the middle of a secret.
    print("y" * 8_190 + echo, "z" * 8_190)
    print("without end", echo, end="")
    logging.getLogger("persona").error("key %s", echo, extra={"token": os.environ["SHORT_TOKEN"]})
    try:
        raise ValueError(echo)
    except ValueError as error:
        logging.getLogger("persona").exception("failed")
        raise RuntimeError(repr({"header": echo})) from error


def judge(view):
    return (False, "bad: " + os.environ["SERVICE_API_KEY"])
"""

CHECKS = """
checks = [
  { kind = "command", argv = ["sh", "-c", "tr '\\\\0' ' ' < /proc/$PPID/environ; exit 3"] },
  { kind = "callable", callable = "hostile:judge" },
]
"""


@pytest.fixture
def hostile(cli: CommandLine) -> CommandLine:
    """A command line with secrets in its environment, and a team that gives them away."""
    cli.environment.update(SECRETS)
    engine = cli.directory / "engine.py"
    engine.write_text(ENGINE)
    (cli.directory / "hostile.py").write_text(HOSTILE)
    contracts = "".join(
        CONTRACT.format(name, CHECKS if name == "checked" else "")
        for name in ("shouter", "boaster", "thrower", "checked")
    )
    team = TEAM.replace("ENGINE", str(engine)).replace("CONTRACTS", contracts)
    (cli.directory / "team.toml").write_text(team)
    return cli


def spellings() -> set[bytes]:
    values = {*SECRETS.values(), "c4nary-capability-four", "c4nary-five", "c4nary-webhook"}
    return {
        spelled.encode()
        for value in values
        for spelled in (
            value,
            json.dumps(value)[1:-1],
            quote(value, safe=""),
            base64.b64encode(value.encode()).decode().rstrip("="),
            base64.b64encode(f"me:{value}".encode()).decode().rstrip("=")[4:],
            value[:12],
            value[-9:],
        )
    }


def found_in(data: bytes) -> set[bytes]:
    return {spelled for spelled in spellings() if spelled in data}


def found_under(directory: Path) -> dict[str, set[bytes]]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path): found for path in files if (found := found_in(path.read_bytes()))}


COMMANDS = (
    "session show s1 --json",
    "session show s1",
    "help-needed list --json",
    "tokens export --format jsonl",
    "checkpoint show s1 --json",
    "checkpoint export s1 --output bundle.tar",
    "config show --json",
)


@pytest.mark.parametrize(("sink", "commands"), [("file", COMMANDS), ("webhook", ())])
def test_no_secret_is_in_logs_state_tickets_exports_or_output(
    hostile: CommandLine, sink: str, commands: tuple[str, ...]
) -> None:
    hostile.environment["MAESTRO_TICKET_SINK"] = sink

    ran = hostile("run", "team.toml", "--session", "s1", "--json")
    said = [ran, *(hostile(*command.split()) for command in commands)]

    output = "".join(result.stdout + result.stderr for result in said)
    report = json.loads(ran.stdout)
    assert {task["task_id"]: task["state"] for task in report["tasks"]} == {
        "shouter": "failed",
        "boaster": "done",
        "thrower": "failed",
        "checked": "failed",
    }
    assert output.count("***") > 20
    assert "printed *** ***\n" in ran.stderr
    assert "in bytes\n" in ran.stderr
    assert "without end *** ***" in ran.stderr
    assert found_in(output.encode()) == set()
    assert found_under(hostile.state_dir) == {}


def test_no_secret_is_in_what_a_crash_leaves(hostile: CommandLine) -> None:
    hostile.environment["PYTHONFAULTHANDLER"] = "1"
    team = hostile.directory / "team.toml"
    sleeper = CONTRACT.format("sleeper", "") + "[personas.sleeper]\nlatency_seconds = 600"
    team.write_text(team.read_text() + sleeper)

    with killed_at_the_end(hostile.start("run", "team.toml", "--session", "s1")) as process:
        wait_for_line(process, "thrower: failed")
        os.kill(process.pid, signal.SIGABRT)
        _, stderr = process.communicate(timeout=BOUND_SECONDS)

    assert "Fatal Python error: Aborted" in stderr
    assert found_in(stderr.encode()) == set()
    assert found_under(hostile.state_dir) == {}


def test_no_secret_is_in_what_a_daemon_logs_stores_or_tells(hostile: CommandLine) -> None:
    hostile.environment["MAESTRO_LOG_FORMAT"] = "json"

    with serving(hostile) as daemon:
        ran = hostile("run", "team.toml", "--session", "s1", "--json")
        told = [hostile(command) for command in ("events", "metrics", "top")]
        logged = stopped(daemon)

    output = "".join(result.stdout + result.stderr for result in (ran, *told)) + logged
    records = [json.loads(line) for line in logged.splitlines()]
    from_persona = [record for record in records if record["logger"] == "persona"]
    assert [record["event"] for record in from_persona][:2] == ["key *** ***", "failed"]
    assert {record["task_id"] for record in from_persona} == {"thrower"}
    assert found_in(output.encode()) == set()
    assert found_under(hostile.state_dir) == {}
    printed = [record for record in records if record["logger"] == "maestro_runtime.printed"]
    assert printed[0]["event"] == "printed *** ***"
    assert (printed[0]["level"], printed[0]["task_id"]) == ("info", "thrower")


def test_no_secret_is_in_what_a_function_writes_to_the_stderr_of_a_daemon(
    hostile: CommandLine,
) -> None:
    module = hostile.directory / "hostile.py"
    printing = 'print("printed", echo)'
    module.write_text(module.read_text().replace(printing, f"{printing[:-1]}, file=sys.stderr)"))

    with serving(hostile) as daemon:
        hostile("run", "team.toml", "--session", "s1")
        said = stopped(daemon)

    assert "\nprinted *** ***\n" in said
    assert found_in(said.encode()) == set()


def test_no_secret_is_in_what_a_function_writes_to_the_stderr_of_a_run(
    hostile: CommandLine,
) -> None:
    module = hostile.directory / "hostile.py"
    printing = 'print("printed", echo)'
    module.write_text(module.read_text().replace(printing, f"{printing[:-1]}, file=sys.stderr)"))

    ran = hostile("run", "team.toml", "--session", "s1", "--json")

    assert "\nprinted *** ***\n" in ran.stderr
    assert found_in((ran.stdout + ran.stderr).encode()) == set()


def test_an_error_that_ends_a_command_shows_no_secret(hostile: CommandLine) -> None:
    result = hostile("run", f"{SECRETS['SERVICE_API_KEY']}.toml")

    assert result.returncode == 2
    assert "***.toml" in result.stderr
    assert found_in(result.stderr.encode()) == set()
