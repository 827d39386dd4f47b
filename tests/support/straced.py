"""Runs of `witnessed` under strace, which records their system calls, fails them, or kills."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import witnessed
from committer import Committer

STRACE: Final = shutil.which("strace")
BOUND_SECONDS: Final = 60.0


def run(
    options: list[str],
    team: Path,
    directory: Path,
    sabotage: str = "",
    committer: Committer = "disk",
) -> "subprocess.CompletedProcess[str]":
    """Run the team in `directory` to its end; what it acknowledges is in `events.log` there."""
    argv = [
        *(STRACE or "strace", "-f", "-qq", *options),
        *(sys.executable, witnessed.__file__, committer, str(team), str(directory / "state")),
        *(str(directory / "output"), str(directory / "events.log"), sabotage),
    ]
    paths = ":".join(path for path in sys.path if path)
    return subprocess.run(
        argv,
        check=False,
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        env={"PYTHONPATH": paths},
    )
