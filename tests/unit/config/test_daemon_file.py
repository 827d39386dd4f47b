"""`maestro.toml`: what it may say, every mistake at once, and what overrides it."""

import os
import pickle
import pwd
from pathlib import Path

import pytest

from maestro_actors.limits import CallLimits, EngineLimits
from maestro_runtime.config import daemon
from maestro_runtime.config.daemon import (
    DaemonFlags,
    changes,
    explain_daemon,
    resolve_daemon,
)
from maestro_runtime.config.daemon_file import SOCKET_RULE, Access, read_daemon_file
from maestro_runtime.config.errors import (
    DaemonFileInvalid,
    DaemonFileUnreadable,
    SettingInvalid,
)

WHOLE = """
socket = "run/maestro.sock"
drain_timeout_seconds = 60
prices = "prices.toml"
[log]
level = "warning"
format = "json"
file = "logs/maestro.log"
[access]
users = ["root", "4711"]
group = "root"
[limits]
sessions_running = 4
sessions_queued = 10
attempts = 8
[limits.engines.command]
concurrency = 2
requests_per_minute = 30
tokens_per_minute = 1000
[limits.personas.dev]
concurrency = 1
[[budgets]]
id = "daily"
scope = "global"
window = "day"
limit = 1_000
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "prices.toml").write_text("[models]\n")
    path = tmp_path / "maestro.toml"
    path.write_text(WHOLE)
    return path


def problems_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "maestro.toml"
    path.write_text(text)
    with pytest.raises(DaemonFileInvalid) as raised:
        read_daemon_file(path)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)  # noqa: S301 - our own bytes
    return str(raised.value).replace(f"{path}: ", "").splitlines()


def test_every_key_is_taken_over_and_paths_start_at_the_file(file: Path) -> None:
    settings = resolve_daemon(DaemonFlags(config=str(file)), {})
    policy = settings.policy.value

    assert settings.socket.value == file.parent / "run/maestro.sock"
    assert settings.drain_timeout_seconds.value == 60
    assert (settings.log_level.value, settings.log_format.value) == ("warning", "json")
    assert settings.log_file.value == str(file.parent / "logs/maestro.log")
    assert settings.access.value == Access((0, 4711), 0)
    assert policy.prices == file.parent / "prices.toml"
    assert (policy.sessions_running, policy.sessions_queued) == (4, 10)
    assert policy.calls == CallLimits(
        attempts=8,
        engines={
            "command": EngineLimits(concurrency=2, requests_per_minute=30, tokens_per_minute=1000)
        },
        personas={"dev": 1},
    )
    assert [(budget.id, budget.limit) for budget in policy.budgets] == [("daily", 1000)]
    assert settings.policy.source == f"configuration file {file}"


def test_without_a_file_everything_is_built_in(tmp_path: Path) -> None:
    settings = resolve_daemon(DaemonFlags(state_dir=str(tmp_path)), {})

    assert settings.socket.value == tmp_path / "maestro.sock"
    assert settings.drain_timeout_seconds.value == 30
    assert {value.source for value in explain_daemon(settings)} == {"built-in"}


def test_a_flag_wins_over_the_environment_and_that_over_the_file(file: Path) -> None:
    environ = {
        "MAESTRO_SOCKET": "/run/other.sock",
        "MAESTRO_DRAIN_TIMEOUT": "5",
        "MAESTRO_LOG_LEVEL": "debug",
    }
    flags = DaemonFlags(config=str(file), drain_timeout="7.5")

    sources = {
        value.key: (value.value, value.source)
        for value in explain_daemon(resolve_daemon(flags, environ))
    }

    assert sources["daemon.drain_timeout_seconds"] == (7.5, "flag --drain-timeout")
    assert sources["daemon.socket"] == ("/run/other.sock", "environment MAESTRO_SOCKET")
    assert sources["daemon.log_level"] == ("debug", "environment MAESTRO_LOG_LEVEL")
    assert sources["daemon.log_format"] == ("json", f"configuration file {file}")


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("MAESTRO_SOCKET", "", SOCKET_RULE),
        ("MAESTRO_SOCKET", "/run/" + "s" * 86, SOCKET_RULE),
        ("MAESTRO_DRAIN_TIMEOUT", "soon", "a number from 0 to 31536000"),
        ("MAESTRO_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("MAESTRO_LOG_FORMAT", "xml", "one of text, json"),
        ("MAESTRO_LOG_FILE", "maestro.log", "the absolute path of a file"),
    ],
)
def test_a_variable_that_breaks_its_rule_is_named(variable: str, value: str, rule: str) -> None:
    with pytest.raises(SettingInvalid) as raised:
        resolve_daemon(DaemonFlags(), {variable: value})

    assert str(raised.value) == f"environment {variable} must be {rule}, got {value!r}"


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = """
    sockets = "x"
    socket = ""
    prices = ""
    drain_timeout_seconds = -1
    log = { level = "inf", format = 3, file = "" }
    access = { users = ["nobody-of-this-name"], group = "none-of-this-name" }
    limits = { attempts = 0, engines = { x = { concurency = 1 } } }
    budgets = [{ id = "b", scope = "globl", limit = 1.5 }]
    """

    found = problems_of(tmp_path, text)

    assert [line.split(":")[0] for line in found] == [
        "sockets",
        "drain_timeout_seconds",
        "log.format",
        "limits.attempts",
        "limits.engines.x.concurency",
        "log.level",
        "socket",
        "log.file",
        "budgets[0].scope",
        "budgets[0].limit",
        "budgets[0].window",
        "prices",
        "access.users[0]",
        "access.group",
    ]
    assert "did you mean 'socket'?" in found[0]
    assert "did you mean 'info'?" in found[5]
    assert found[13] == "access.group: must be a group, got 'none-of-this-name'"


def test_users_without_a_group_could_not_reach_the_socket(tmp_path: Path) -> None:
    name = pwd.getpwuid(os.getuid()).pw_name

    found = problems_of(tmp_path, f'access = {{ users = ["{name}"] }}')

    assert found == ["access.group: is required with users"]


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DaemonFileUnreadable) as raised:
        resolve_daemon(DaemonFlags(config=str(tmp_path / "missing.toml")), {})

    assert str(raised.value) == (
        f"configuration file {tmp_path / 'missing.toml'} cannot be read: No such file or directory"
    )


def test_a_file_that_cannot_be_looked_for_is_no_reason_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setattr(daemon, "FILE_DEFAULT", tmp_path / "loop" / "maestro.toml")

    with pytest.raises(DaemonFileUnreadable, match="Too many levels of symbolic links"):
        resolve_daemon(DaemonFlags(), {})


def test_what_has_changed_is_told_and_what_needs_a_restart(file: Path) -> None:
    before = resolve_daemon(DaemonFlags(config=str(file)), {})
    text = WHOLE.replace("= 60", "= 10").replace("maestro.sock", "other.sock")
    file.write_text(text.replace("attempts = 8", "attempts = 9"))

    after = resolve_daemon(DaemonFlags(config=str(file)), {})

    directory = file.parent / "run"
    assert changes(before, after) == (
        f"socket: {directory}/maestro.sock -> {directory}/other.sock (after a restart)",
        "drain_timeout_seconds: 60.0 -> 10.0",
    )
