"""A daemon that crashes again and again stops running sessions, until a person has looked."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import CommandLine
from daemon_team import TEAM
from maestro_actors.messages import encode
from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.config.daemon import DaemonFlags, resolve_daemon
from maestro_runtime.daemon import Daemon, SocketInUse, _process
from maestro_runtime.daemon._connection import Gate
from maestro_runtime.daemon._starts import NAME, WINDOW_MS, Starts, unclean
from maestro_runtime.errors import SafeMode
from maestro_runtime.runtime import Runtime
from maestro_runtime.wire.line import SOCKET_NAME, Line
from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS, ResumeSession
from maestro_storage import Store
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line
from served import let_go, serving, session_under_way, start, stopped, wait_for_event

NOW_MS = 1_800_000_000_000


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with open_runtime(tmp_path / "state") as runtime:
        yield runtime


def crash(cli: CommandLine) -> None:
    with serving(cli) as process:
        process.kill()
        process.communicate(timeout=BOUND_SECONDS)


def test_after_three_crashes_nothing_runs_until_it_is_ordered(cli: CommandLine) -> None:
    session_under_way(cli, "going", seconds=None)
    for _ in range(3):
        crash(cli)

    with killed_at_the_end(start(cli)) as process:
        wait_for_line(process, "safe mode after 3 starts that ended in a crash")
        wait_for_line(process, "sessions_resumed=0")
        listed = cli("session", "list")
        with Line(cli.state_dir / SOCKET_NAME) as line, pytest.raises(SafeMode):
            line.ask(SUPERVISOR_ADDRESS, encode(ResumeSession(session_id="going")))
        let_go(cli, "going")
        left = cli("state", "leave-safe-mode", "--json")
        wait_for_event(cli, "going", "session_done")
        stopped(process)

    assert listed.returncode == 0
    assert "going" in listed.stdout
    assert "safe mode" in listed.stderr
    assert left.returncode == 0, left.stderr
    assert json.loads(left.stdout) == {"schema": "maestro.safe-mode/1", "safe_mode": False}
    with Store.inspect(cli.state_dir) as store:
        record = store.values.get(NAME)
        assert record is not None
        # It has ended in order.
        assert unclean(store, record.updated_ms) == ()


def test_who_waits_for_a_session_that_safe_mode_leaves_alone_hears_why(cli: CommandLine) -> None:
    session_under_way(cli, "going", seconds=600)
    for _ in range(3):
        crash(cli)

    with serving(cli):
        watched = cli("session", "watch", "going")
        resumed = cli("session", "resume", "going")
        detached = cli("run", cli.team(), "--session", "new", "--detach")

    assert detached.returncode == resumed.returncode == 3
    assert "maestro-runtime state leave-safe-mode" in detached.stderr
    assert resumed.stderr.splitlines()[0] == (
        "to have sessions run again: maestro-runtime state leave-safe-mode"
    )
    assert watched.returncode == 3, watched.stderr
    assert "to have sessions run again: maestro-runtime state leave-safe-mode" in watched.stderr
    assert watched.stderr.splitlines()[-1] == (
        "error: session 'going' does not go on until it is resumed: "
        "the daemon is in safe mode after crashes"
    )


def test_who_waits_while_the_daemon_comes_back_in_safe_mode_hears_why(cli: CommandLine) -> None:
    session_under_way(cli, "going", seconds=600)
    for _ in range(2):
        crash(cli)

    with (
        serving(cli) as last,
        killed_at_the_end(cli.start("session", "watch", "going")) as watching,
    ):
        wait_for_line(watching, "session going started")
        last.kill()
        last.communicate(timeout=BOUND_SECONDS)
        with serving(cli):
            _, said = watching.communicate(timeout=BOUND_SECONDS)

    assert watching.returncode == 3
    assert "the daemon is in safe mode after crashes" in said


def test_safe_mode_is_not_left_where_there_is_no_daemon(cli: CommandLine) -> None:
    result = cli("state", "leave-safe-mode")

    assert result.returncode == 3
    assert "no daemon answers" in result.stderr


def test_only_the_crashes_of_ten_minutes_count(runtime: Runtime) -> None:
    store = runtime.store
    for at_ms in (NOW_MS, NOW_MS + 1, NOW_MS + 2):
        assert not Starts(store, at_ms).too_many

    assert unclean(store, NOW_MS + WINDOW_MS) == (NOW_MS, NOW_MS + 1, NOW_MS + 2)
    assert unclean(store, NOW_MS + WINDOW_MS + 1) == (NOW_MS + 1, NOW_MS + 2)
    assert unclean(store, NOW_MS - WINDOW_MS) == (NOW_MS,)
    assert Starts(store, NOW_MS + WINDOW_MS).too_many


def test_what_is_forgiven_does_not_count_but_the_start_itself_does(runtime: Runtime) -> None:
    for at_ms in range(NOW_MS, NOW_MS + 4):
        last = Starts(runtime.store, at_ms)
    last.forgive()

    assert unclean(runtime.store, NOW_MS + 4) == (NOW_MS + 3,)
    last.end()
    assert unclean(runtime.store, NOW_MS + 4) == ()


def test_a_runtime_that_is_held_starts_nothing_and_lets_go_what_is_cancelled(
    tmp_path: Path, runtime: Runtime
) -> None:
    runtime.create(SessionOrder(TEAM, "known", tmp_path / "known"))
    released: list[bool] = []
    runtime.hosting.hold(lambda: released.append(runtime.hosting.held))

    for order in (
        lambda: runtime.run(SessionOrder(TEAM, "new", tmp_path / "new")),
        lambda: runtime.resume("known"),
        lambda: runtime.take_up("known"),
        lambda: runtime.run_phases("known", ["build"]),
    ):
        with pytest.raises(SafeMode):
            order()
    runtime.cancel("known").result(BOUND_SECONDS)

    assert [record.state for record in runtime.store.sessions.scan()] == ["cancelled"]
    runtime.hosting.leave_safe_mode()
    runtime.hosting.leave_safe_mode()
    assert released == [True]
    runtime.run(SessionOrder(TEAM, "new", tmp_path / "new")).result(BOUND_SECONDS)


def test_nobody_is_let_in_before_it_is_known_whether_anything_may_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client sends again is at the socket the moment there is one."""
    with open_runtime(tmp_path) as runtime:
        now_ms = runtime.system.clock.now_ms()
        for at_ms in range(now_ms, now_ms + 3):
            Starts(runtime.store, at_ms)
    found = []

    def listening(path: Path, gate: Gate, users: frozenset[int], *, group: int | None) -> None:
        found.append(gate.welcome().safe_mode)
        raise SocketInUse(str(path))

    monkeypatch.setattr(_process, "SocketServer", listening)
    settings = resolve_daemon(DaemonFlags(state_dir=str(tmp_path)), {})

    with pytest.raises(SocketInUse):
        Daemon(lambda: settings, RuntimeOptions(), {}).run()

    assert found == [True]


def test_a_start_that_cannot_listen_is_no_crash(cli: CommandLine) -> None:
    in_the_way = cli.directory / "file"
    in_the_way.touch()

    refused = [cli("serve", "--socket", in_the_way) for _ in range(3)]

    assert all(run.returncode and "file of another kind" in run.stderr for run in refused)
    with Store.inspect(cli.state_dir) as store:
        record = store.values.get(NAME)
        assert record is not None
        assert unclean(store, record.updated_ms) == ()
