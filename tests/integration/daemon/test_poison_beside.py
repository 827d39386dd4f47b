"""A daemon with a session that it cannot work with goes on with all others, and does not end."""

import os
from contextlib import closing

import lmdb
import pytest

from command_line import CommandLine
from daemon_process import DaemonProcess
from maestro_actors.messages import encode
from maestro_runtime import open_runtime
from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._installation import examine_installation
from maestro_runtime.config.daemon import DaemonFlags, resolve_daemon
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.wire.line import SOCKET_NAME, Line
from maestro_runtime.wire.metrics import METRICS_ADDRESS, GetMetrics
from maestro_storage import Store
from maestro_storage.records import key_of
from poisoned import REASON, cure, poison
from served import session_under_way, state_of, wait_for_event

HEALTHY = ("s-1", "s-2", "s-3")
RESUME = "to go on: maestro-runtime session resume {}"
SAID = REASON.format(session_id="poison")


@pytest.fixture
def poisoned(cli: CommandLine) -> CommandLine:
    """A state with three sessions under way, and one that is poison."""
    for session_id in (*HEALTHY, "poison"):
        session_under_way(cli, session_id, seconds=0.1)
    with Store.open(cli.state_dir) as store:
        poison(store, "poison")
    return cli


def test_a_poison_session_is_set_aside_for_all_to_see_until_it_is_resumed(
    poisoned: CommandLine,
) -> None:
    cli = poisoned
    with DaemonProcess(cli) as daemon:
        wait_for_event(cli, "poison", "session_paused")
        for session_id in HEALTHY:
            wait_for_event(cli, session_id, "session_done")
        shown = cli("session", "show", "poison")
        listed = cli("session", "list")
        helped = cli("help-needed", "list")
        found = looked_for(cli)
        waited = cli("session", "resume", "poison")
        with Line(daemon.socket) as line:
            metrics = line.ask(METRICS_ADDRESS, encode(GetMetrics())).decode(errors="replace")
        daemon.kill()
        # Neither does the next one take it up by itself.
        daemon.start()
        assert daemon.stop() == 0

    assert SAID in shown.stdout + shown.stderr
    assert "to go on: maestro-runtime session resume poison" in shown.stderr
    assert f"ticket {cli.state_dir}/tickets/" in shown.stderr
    assert sum(" paused, set aside " in line for line in listed.stdout.splitlines()) == 1
    assert "session poison is set aside; to go on: " in helped.stderr
    assert found == {"session poison": ("warning", f"{SAID}; {RESUME.format('poison')}")}
    assert shown.stderr.count("its coordinator has failed, time") == 3
    assert waited.returncode == ExitCode.PAUSED
    assert SAID in waited.stderr
    assert 'maestro_events_total{kind="coordinator_failed"} 6' in metrics
    assert 'maestro_sessions{state="paused"} 1' in metrics
    assert "maestro_sessions_set_aside 1" in metrics
    with Store.open(cli.state_dir) as store:
        failures = [event.kind for event in store.events.scan("poison")].count("coordinator_failed")
        cure(store, "poison")
    assert failures == 6
    assert cli("session", "resume", "poison").returncode == ExitCode.DONE
    assert state_of(cli, "poison") == "done"


def test_a_session_that_nobody_goes_on_with_is_seen_beside_its_owner(cli: CommandLine) -> None:
    session_under_way(cli, "left")
    with open_runtime(cli.state_dir) as runtime:
        gate = RuntimeGate(runtime, hosts=True)
        server = SocketServer(cli.state_dir / SOCKET_NAME, gate, users=(os.getuid(),))
        with closing(server):
            runtime.hosting.leave_alone("left", "its coordinator has failed")

            shown = cli("session", "show", "left")
            found = looked_for(cli)
            with Line(cli.state_dir / SOCKET_NAME) as line:
                metrics = line.ask(METRICS_ADDRESS, encode(GetMetrics())).decode(errors="replace")

    said = f"nobody goes on with it: its coordinator has failed; {RESUME.format('left')}"
    assert said in shown.stderr
    assert found == {"session left": ("warning", said)}
    assert "maestro_sessions_left 1" in metrics


def looked_for(cli: CommandLine) -> dict[str, tuple[str, str]]:
    """Return what `doctor` finds of single sessions."""
    settings = resolve_daemon(DaemonFlags(state_dir=str(cli.state_dir)), {})
    return {
        finding.check: (finding.verdict, finding.detail)
        for finding in examine_installation(settings)
        if finding.check.startswith("session ")
    }


def test_a_session_with_damaged_records_hinders_no_other(poisoned: CommandLine) -> None:
    cli = poisoned
    with lmdb.open(
        str(cli.state_dir / "data"), max_dbs=20, map_size=64 << 30, lib_version=0
    ) as env:
        tasks = env.open_db(b"tasks")
        key = key_of("poison", "note")
        with env.begin(write=True) as txn:
            value = txn.get(key, b"", db=tasks)
            txn.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=tasks)

    with DaemonProcess(cli) as daemon:
        for session_id in HEALTHY:
            wait_for_event(cli, session_id, "session_done")
        resumed = cli("session", "resume", "poison")
        assert daemon.stop() == 0

    assert resumed.returncode == ExitCode.DAMAGED
    assert "session 'poison' is quarantined" in resumed.stderr
