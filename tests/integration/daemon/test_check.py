"""`doctor` and `serve --check`: what they find alone and beside a daemon, and that they change
nothing."""

import shutil
from pathlib import Path

from command_line import CommandLine
from maestro_runtime.cli._installation import examine_installation
from maestro_runtime.cli._machine import examine_machine
from maestro_runtime.config.daemon import DaemonFlags, resolve_daemon
from running import BOUND_SECONDS
from served import serving, session_under_way, stopped


def findings_of(cli: CommandLine) -> dict[str, tuple[str, str]]:
    settings = resolve_daemon(DaemonFlags(state_dir=str(cli.state_dir)), {})
    found = [*examine_machine(cli.state_dir), *examine_installation(settings)]
    return {finding.check: (finding.verdict, finding.detail) for finding in found}


def snapshot(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_without_a_state_a_start_would_do_and_nothing_is_made(cli: CommandLine) -> None:
    result = cli("serve", "--check")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "there is no state yet" in result.stdout
    assert not cli.state_dir.exists()


def test_a_check_tells_which_sessions_could_go_on_and_changes_nothing(cli: CommandLine) -> None:
    session_under_way(cli, "good")
    session_under_way(cli, "bad")
    workspace = cli.directory / "maestro-output" / "bad"
    shutil.rmtree(workspace)
    workspace.write_text("a file")
    before = snapshot(cli.directory)

    result = cli("serve", "--check")

    found = findings_of(cli)
    assert result.returncode == 0, result.stdout + result.stderr
    assert found["sessions"] == ("ok", "under way that can go on: 1")
    assert "session good" not in found
    assert found["session bad"] == ("warning", f"cannot go on: {workspace} is not a directory")
    assert found["daemon"] == ("ok", "none runs")
    after = snapshot(cli.directory)
    # The owner writes its name into the lock, for messages only.
    lock = cli.state_dir / "owner.lock"
    del before[lock], after[lock]
    assert after == before


def test_a_wrong_configuration_is_told_with_2(cli: CommandLine) -> None:
    (cli.directory / "maestro.toml").write_text("drain_timeout = 1")

    result = cli("serve", "--check", "--config", "maestro.toml")

    assert result.returncode == 2
    assert "did you mean 'drain_timeout_seconds'?" in result.stderr


def test_a_price_table_that_is_missing_is_told_with_2(cli: CommandLine) -> None:
    (cli.directory / "maestro.toml").write_text('prices = "missing.toml"')

    assert cli("serve", "--check", "--config", "maestro.toml").returncode == 2


def test_a_place_for_the_socket_that_is_missing_is_told_with_3(cli: CommandLine) -> None:
    result = cli("serve", "--check", "--socket", "missing/maestro.sock")

    assert result.returncode == 3
    assert "is not writable" in result.stdout


def test_damage_is_told_with_9(cli: CommandLine) -> None:
    session_under_way(cli, "going")
    data = cli.state_dir / "data" / "data.mdb"
    content = bytearray(data.read_bytes())
    content[4096 * 2 :] = b"\x55" * (len(content) - 4096 * 2)
    data.write_bytes(bytes(content))

    result = cli("serve", "--check")

    assert result.returncode == 9
    assert "records" in result.stdout


def test_a_daemon_is_looked_at_beside_it_and_its_crashes_afterwards(cli: CommandLine) -> None:
    session_under_way(cli, "going")
    with serving(cli) as process:
        beside = findings_of(cli)
        doctor = cli("doctor")
        process.kill()
        process.communicate(timeout=BOUND_SECONDS)
    after = findings_of(cli)

    assert beside["daemon"] == ("ok", f"pid {process.pid}, sessions under way: 1")
    assert beside["crashes"][0] == "ok"
    assert beside["sessions"] == ("ok", "under way that can go on: 1")
    assert beside["records"][1].endswith("all sound")
    assert beside["room for records"][0] == "ok"
    assert doctor.returncode == 0, doctor.stdout
    assert f"pid {process.pid}" in doctor.stdout
    assert after["daemon"] == ("ok", "none runs")
    assert after["crashes"] == (
        "warning",
        "starts of the daemon within 10 minutes that ended in one: 1",
    )


def test_an_owner_that_does_not_answer_is_named(cli: CommandLine) -> None:
    with serving(cli) as process:
        (cli.state_dir / "maestro.sock").rename(cli.directory / "elsewhere")
        found = findings_of(cli)
        stopped(process)

    assert found["daemon"][0] == "warning"
    assert f"is owned by pid {process.pid}" in found["daemon"][1]


def test_a_state_that_others_may_read_is_told(cli: CommandLine) -> None:
    cli.state_dir.mkdir(mode=0o755)

    assert findings_of(cli)["permissions"] == (
        "warning",
        "mode 0755 lets others in; it should be 0700",
    )
