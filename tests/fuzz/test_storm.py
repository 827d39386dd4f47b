"""A short storm, and who is not let in; `make fuzz` makes it as long as you like."""

import os
from pathlib import Path

import pytest

from command_line import CommandLine
from hostile import knock
from maestro_runtime.testing import run_program
from maestro_runtime.wire.line import SOCKET_NAME, Line
from served import serving
from storm import allow_descriptors, storm


def test_a_daemon_stands_a_storm_and_goes_on_serving(tmp_path: Path) -> None:
    allow_descriptors()

    counted = storm(tmp_path, seed=1, rounds=150)

    assert counted["answers to the sane"] > 100
    assert {"floods: answered", "lies: FrameTooLarge", "depths: FrameInvalid"} <= set(counted)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused_even_if_the_socket_is_open_to_all(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path)
    with serving(cli):
        (cli.state_dir / SOCKET_NAME).chmod(0o666)
        cli.state_dir.chmod(0o711)

        assert run_program(knock, str(cli.state_dir)) == 0

        with Line(cli.state_dir / SOCKET_NAME) as line:
            assert line.welcome.pid
