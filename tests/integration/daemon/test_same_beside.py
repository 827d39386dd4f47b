"""Every command does the same beside a daemon as without one, to the exit code."""

import importlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest

from command_line import CommandLine
from maestro_runtime.cli import _main
from served import serving
from typed import Typed, typed

SCRIPT: Final = (
    "session list --json",
    "session show done --json",
    "session show failed --json",
    "session show nobody --json",
    "session result done --json",
    "session logs failed --json",
    "events --session done --json",
    "checkpoint list done --json",
    "checkpoint show done write --json",
    "checkpoint verify done --json",
    "checkpoint diff done init --json",
    "checkpoint export done write --output bundle --json",
    "tokens report done --json",
    "tokens report --by persona --json",
    "tokens history done --json",
    "tokens budget --json",
    "tokens waste --json",
    "tokens alerts --json",
    "tokens lost --json",
    "tokens export",
    "breaker list --json",
    "breaker show rehearsal --json",
    "help-needed list --json",
    "help-needed show waits note",
    "help-needed show waits note --json",
    "state verify --json",
    "state backup copy --json",
    "config show --json",
    "version --json",
    # Here something begins to change.
    "run team.toml --session done --json",
    "run team.toml --session new --label a=b --json",
    "run team.toml --session new --requirement else --json",
    "run team.toml --session held --until nowhere --json",
    "session resume held --json",
    "session resume nobody --json",
    "session fork done --from write --id forked --json",
    "session fork done --from nowhere --json",
    "session checkpoint waits --name before-lunch --json",
    "session retry failed note --json",
    "session retry done note --json",
    "session rerun new --from check --dry-run --json",
    "session rerun new --from check --json",
    "session resume new --json",
    "session pause waits --reason lunch --json",
    "session pause done --json",
    "session remove waits --json",
    "help-needed answer waits note --retry",
    "help-needed answer done note --retry",
    "session cancel waits --json",
    "session cancel done --json",
    "session remove failed --json",
    "session remove failed --cancel --json",
    "session remove failed --json",
    "checkpoint prune forked --json",
    "session remove forked --json",
    "session show forked --json",
    "checkpoint import bundle/bundle_write.tar --output imported --json",
    "session remove done --json",
    "checkpoint import bundle/bundle_write.tar --output imported --json",
    "tokens top-up persona/writer 50 --reason more --session new --json",
    "tokens top-up nothing 50 --reason more --json",
    "tokens correct 00000000 --input-tokens 1 --output-tokens 1 --reason invoice --json",
    "breaker open rehearsal --json",
    "breaker reset rehearsal --json",
    "breaker reset nothing --json",
    "session list --json",
    "state info --json",
)

ELSEWHERE: Final = {
    "completion": "knows the names on record; see test_completion",
    "demo": "has a state of its own",
    "doctor": "looks at the daemon itself; see test_installation",
    "metrics": "has more to say of a process than of records; see test_metrics",
    "serve": "is the daemon",
    "session watch": "waits for the end of a session that somebody runs; see test_attending",
    "state compact": "wants a state that nobody owns; see test_attending",
    "state leave-safe-mode": "is about daemons only; see test_safe_mode",
    "top": "shows what goes on at the moment",
}
"""Commands that are something else beside a daemon, and why."""

VOLATILE: Final = re.compile(
    r".*(_ms|_seconds|_bytes|_at|epoch|state_id|share|per_hour|digest|path|pid)$|seconds|at|created|value|values|requests"
)
HEX: Final = re.compile(r"\b[0-9a-f]{12,}\b")
INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?|\b1\d{12}\b")


def leaves() -> Iterator[str]:
    for name, (module, _) in _main._COMMANDS.items():
        command = importlib.import_module(f"maestro_runtime.cli.{module}").command
        if isinstance(command, click.Group):
            yield from (f"{name} {leaf}" for leaf in command.commands)
        else:
            yield name


def test_every_command_is_compared_or_it_is_said_why_not() -> None:
    known = list(leaves())
    compared = {leaf for leaf in known if any(f"{line} ".startswith(f"{leaf} ") for line in SCRIPT)}

    assert set(known) <= compared | ELSEWHERE.keys()
    assert not compared & ELSEWHERE.keys()


def _is_count_of_cells(key: str, item: Any) -> bool:
    # Each start writes usage into cells of its own, and every command alone is a start.
    return key == "usage" and isinstance(item, int)


def plain(value: Any) -> Any:
    """Return what a command printed without what no two runs have in common."""
    if isinstance(value, dict):
        return {
            key: "#" if VOLATILE.fullmatch(key) or _is_count_of_cells(key, item) else plain(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [plain(item) for item in value]
    return INSTANT.sub("@", HEX.sub("#", value)) if isinstance(value, str) else value


def told(found: Typed) -> tuple[int, Any]:
    try:
        lines = [json.loads(found.out)]
    except ValueError:
        lines = found.out.splitlines()
        lines = [json.loads(line) if line.startswith("{") else line for line in lines]
    return found.code, plain(lines)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a state in which five sessions rest, each in another way."""
    cli = CommandLine(tmp_path / "place")
    cli.directory.mkdir()
    for session, persona, *more in (
        ("failed", 'script = ["permanent"]'),
        ("waits", 'script = ["permanent", "ok"]\ngive_up_on_failure = false'),
        ("held", "", "--until", "write"),
        ("done", ""),
    ):
        typed(cli.directory, "run", cli.team(persona), "--session", session, *more)
    return cli.directory


def test_a_command_says_and_does_the_same_beside_a_daemon(place: Path) -> None:
    pristine = place.with_name("pristine")
    shutil.copytree(place, pristine)
    alone = [typed(place, *line.split()) for line in SCRIPT]
    shutil.rmtree(place)
    shutil.copytree(pristine, place)

    with serving(CommandLine(place)):
        beside = [typed(place, *line.split()) for line in SCRIPT]

    different = [
        f"{line}\n{told(first)}\n{told(second)}\n{first.err}\n{second.err}"
        for line, first, second in zip(SCRIPT, alone, beside, strict=True)
        if told(first) != told(second) or "internal error" in first.err + second.err
    ]
    assert not different, "\n".join(different)
