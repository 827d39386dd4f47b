"""A daemon that runs one session at a time, and is told at SIGHUP that it may run more."""

import json
import os
import signal

from command_line import CommandLine
from running import wait_for_line
from served import serving, session_under_way, stopped, wait_for_event


def test_a_queued_session_begins_when_the_limit_is_raised_by_a_reload(cli: CommandLine) -> None:
    config = cli.directory / "maestro.toml"
    config.write_text("drain_timeout_seconds = 0\n[limits]\nsessions_running = 1\n")
    for name in ("first", "second"):
        session_under_way(cli, name, seconds=20)

    with serving(cli, "--config", config) as process:
        wait_for_event(cli, "second", "session_queued")
        queued = json.loads(cli("session", "show", "second", "--json").stdout)
        config.write_text("drain_timeout_seconds = 0\n[limits]\nsessions_running = 2\n")
        os.kill(process.pid, signal.SIGHUP)
        wait_for_line(process, "configuration: limits.sessions_running: 1 -> 2")
        wait_for_event(cli, "second", "session_admitted")
        running = json.loads(cli("session", "show", "second", "--json").stdout)
        stopped(process)

    assert (queued["state"], queued["queue_place"]) == ("queued", 1)
    assert (running["state"], running["queue_place"]) == ("running", 0)
