import forgetful
from command_line import CommandLine
from daemon_process import DaemonProcess


def test_a_daemon_deletes_old_sessions_while_it_works(cli: CommandLine) -> None:
    with DaemonProcess(cli, program=(str(forgetful.__file__), "1")) as daemon:
        for name in ("first", "second"):
            assert cli("run", cli.team(), "--session", name).returncode == 0
        looks = (cli("session", "list").stdout for _ in range(50))
        left = next((seen for seen in looks if "first" not in seen), "both are kept")
        assert daemon.is_alive

    assert "second" in left
