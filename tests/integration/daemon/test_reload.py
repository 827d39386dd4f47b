"""SIGHUP: the configuration is read again, all of it or nothing, and no session notices."""

import json
import os
import re
import signal
import stat
from pathlib import Path

import pytest

from command_line import CommandLine
from maestro_runtime.config.daemon_file import Access
from maestro_runtime.daemon._process import _admitted
from maestro_runtime.daemon._server import _bound
from running import wait_for_line
from served import ServiceManager, serving, session_under_way, stopped, wait_for_event


@pytest.fixture
def config(cli: CommandLine) -> Path:
    path = cli.directory / "maestro.toml"
    path.write_text("drain_timeout_seconds = 20\n[limits]\nattempts = 5\n")
    return path


def test_a_reload_says_what_has_changed_and_sessions_go_on(cli: CommandLine, config: Path) -> None:
    session_under_way(cli, "going", seconds=1)
    address = str(cli.directory / "notify")
    with ServiceManager(address) as manager:
        cli.environment["NOTIFY_SOCKET"] = address
        with serving(cli, "--config", config) as process:
            manager.until("READY")
            config.write_text("drain_timeout_seconds = 10\n[limits]\nattempts = 6\n")
            os.kill(process.pid, signal.SIGHUP)
            wait_for_line(process, "configuration: drain_timeout_seconds: 20.0 -> 10.0")
            wait_for_line(process, "configuration: limits.attempts: 5 -> 6")
            reloading = manager.until("RELOADING")[-1]
            done = manager.until("READY")[-1]
            wait_for_event(cli, "going", "session_done")
            stopped(process)

    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert done["READY"] == "1"
    assert process.returncode == 0


def test_a_budget_that_would_refuse_what_runs_for_want_of_a_price_is_told(
    cli: CommandLine, config: Path
) -> None:
    session_under_way(cli, "going")
    (cli.directory / "prices.toml").write_text("[models.rehearsal]\ninput = 1\noutput = 1\n")
    budget = '[[budgets]]\nid = "usd"\nmetric = "money"\nlimit = 5\nwindow = "day"\n'
    says = "budget 'usd' counts money, and no price is known of rehearsal: such calls are refused"
    with serving(cli, "--config", config) as process:
        # Both of its calls have begun, and are let through.
        wait_for_event(cli, "going", "attempt_started", count=2)
        config.write_text(budget)
        process.send_signal(signal.SIGHUP)
        wait_for_line(process, f"session going: {says}")
        found = cli("serve", "--check", "--config", config)
        config.write_text(f'prices = "prices.toml"\n{budget}')
        priced = cli("serve", "--check", "--config", config)

    assert f"prices of going  warning  {says}" in re.sub("  +", "  ", found.stdout)
    assert "counts money" not in priced.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("drain_timeout_seconds = 10\n[limits]\nattempts = 0\n", "limits.attempts: must be"),
        ('drain_timeout_seconds = 10\nprices = "bad.toml"\n', "models"),
        ("=", "must be TOML"),
    ],
)
def test_a_bad_configuration_changes_nothing(
    cli: CommandLine, config: Path, text: str, says: str
) -> None:
    (cli.directory / "bad.toml").write_text("[models.m]\ninput = 1\n")
    address = str(cli.directory / "notify")
    with ServiceManager(address) as manager:
        cli.environment["NOTIFY_SOCKET"] = address
        with serving(cli, "--config", config) as process:
            config.write_text(text)
            os.kill(process.pid, signal.SIGHUP)
            wait_for_line(process, says)
            manager.until("RELOADING")
            after = manager.until("READY")[-1]
            os.kill(process.pid, signal.SIGTERM)
            statuses = [message.get("STATUS") for message in manager.until("STOPPING")]
            statuses.append(manager.next()["STATUS"])

    assert after["STATUS"] == "configuration not changed"
    assert statuses[-1] == "draining for at most 20 s"


def test_a_daemon_does_not_start_with_a_configuration_that_is_wrong(
    cli: CommandLine, config: Path
) -> None:
    config.write_text("limit = 1")

    result = cli("serve", "--config", config)

    assert result.returncode == 2
    assert "did you mean 'limits'?" in result.stderr
    assert not cli.state_dir.exists()


@pytest.mark.parametrize(("group", "mode"), [(None, 0o600), (0, 0o660)])
def test_the_socket_is_open_to_its_owner_or_to_a_group_as_well(
    tmp_path: Path, group: int | None, mode: int
) -> None:
    path = tmp_path / "the.sock"
    with _bound(path, group):
        found = path.lstat()

    assert stat.S_IMODE(found.st_mode) == mode


def test_config_show_knows_the_configuration_of_the_daemon(cli: CommandLine, config: Path) -> None:
    shown = json.loads(cli("config", "show", "--config", config, "--json").stdout)

    values = {value["key"]: (value["value"], value["source"]) for value in shown["values"]}
    source = f"configuration file {config}"
    assert values["daemon.drain_timeout_seconds"] == (20.0, source)
    assert values["daemon.policy.calls"] == ({"attempts": 5}, source)
    assert values["daemon.log_level"] == ("info", "built-in")


def test_root_and_the_owner_are_admitted_whoever_is_on_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4711)

    assert _admitted(Access((7,))) == {0, 7, 4711}
