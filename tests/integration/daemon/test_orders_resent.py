"""An order of the command line whose answer is lost with its daemon is done, and done once."""

import subprocess
import sys
from collections.abc import Callable
from itertools import count as counting
from pathlib import Path

import pytest

import dying_daemon
from command_line import CommandLine
from maestro_runtime.cli import _patient_line
from maestro_runtime.cli._access import open_owner
from maestro_runtime.client import Patience
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.orders import LeaveSafeMode
from maestro_storage import Records, Store
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line
from served import serving, stopped

BUDGET = """
[[budgets]]
id = "all"
scope = "session"
metric = "total"
limit = 1_000_000
"""


@pytest.fixture
def rested(cli: CommandLine) -> CommandLine:
    """A state with a session that is paused."""
    team = cli.team()
    team.write_text(team.read_text() + BUDGET)
    ran = cli("run", team, "--session", "held", "--until", "write")
    assert ran.returncode == 10, ran.stderr
    return cli


def top_ups(records: Records) -> int:
    return sum(event.kind == "budget_topped_up" for event in records.events.scan("held"))


def named(records: Records) -> int:
    return sum(item.phase == "mine" for item in records.checkpoints.scan("held"))


def sessions(records: Records) -> int:
    return sum(1 for _ in records.sessions.scan()) - 1


def attempts_of_another(records: Records) -> int:
    return sum(1 for _ in records.attempts.scan("another"))


@pytest.mark.parametrize(
    ("line", "counted", "count"),
    [
        ("tokens top-up all 50 --reason more --session held", top_ups, 1),
        ("session checkpoint held --name mine", named, 1),
        ("session fork held --from write --id forked", sessions, 1),
        ("run team.toml --session another", attempts_of_another, 2),
    ],
)
def test_it_is_done_once(
    rested: CommandLine, line: str, counted: Callable[[Records], int], count: int
) -> None:
    mortal = subprocess.Popen(
        [sys.executable, str(Path(dying_daemon.__file__)), "serve"],
        env=rested.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    with killed_at_the_end(mortal):
        wait_for_line(mortal, "ready")
        with killed_at_the_end(rested.start(*line.split())) as order:
            wait_for_line(order, "trying again for 20 s")
            with serving(rested) as next_one:
                _, said = order.communicate(timeout=BOUND_SECONDS)
                stopped(next_one)

    assert order.returncode == 0, said
    with Store.inspect(rested.state_dir) as store:
        assert counted(store) == count


def test_an_order_that_nobody_answers_any_more_is_given_up_and_it_is_said_what_that_means(
    rested: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hours = counting(0.0, 15.0)
    patience = Patience(now=lambda: next(hours), seconds=20.0, wait=lambda *_: False)
    monkeypatch.setattr(_patient_line, "PATIENCE", patience)
    with serving(rested) as daemon, open_owner(str(rested.state_dir)) as owner:
        assert owner is not None
        daemon.kill()
        daemon.wait(BOUND_SECONDS)

        with pytest.raises(DaemonUnreachable, match="no daemon answers"):
            owner.carry_out(LeaveSafeMode())

    lost, unknown = capsys.readouterr().err.splitlines()
    assert lost.endswith("; trying again for 20 s")
    assert unknown == (
        "whether the order was carried out is not known: look before you give it again"
    )


def test_an_order_that_is_lost_is_not_given_to_another_state(
    rested: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = counting(0.0, 15.0)
    patience = Patience(now=lambda: next(hours), seconds=20.0, wait=lambda *_: False)
    monkeypatch.setattr(_patient_line, "PATIENCE", patience)
    socket = tmp_path / "socket"
    other = CommandLine(tmp_path / "other")
    other.directory.mkdir()
    for line in (rested, other):
        line.environment["MAESTRO_SOCKET"] = str(socket)
    monkeypatch.setenv("MAESTRO_SOCKET", str(socket))
    with serving(rested) as daemon, open_owner(None) as owner:
        assert owner is not None
        daemon.kill()
        daemon.wait(BOUND_SECONDS)

        with serving(other), pytest.raises(DaemonUnreachable, match="another state is served"):
            owner.carry_out(LeaveSafeMode())
