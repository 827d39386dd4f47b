"""Console blocks of a document: commands, and what they are said to print."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def blocks_of(text: str) -> list[tuple[str, str]]:
    """Return language and content of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands_of(block: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a console block with the lines shown below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown.splitlines()


def not_printed(shown: list[str], printed: str) -> list[str]:
    """Return the shown lines that no printed line is like."""
    found = {_normal(line) for line in printed.splitlines()}
    return [line for line in shown if _normal(line) not in found]


def printed_by(command: str, directory: Path) -> str:
    """Run one command of `maestro-runtime` as a reader would; return all it printed."""
    argv = [sys.executable, "-m", *command.replace("maestro-runtime", "maestro_runtime").split()]
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    result = subprocess.run(
        argv,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def _normal(line: str) -> str:
    """Return a line without what differs from run to run: numbers, ids, paths and widths."""
    line = re.sub(r"/\S+", "PATH", line)
    line = re.sub(r"\b[0-9a-f]{8}(?:[0-9a-f]{24})?\b", "ID", line)
    line = re.sub(r"\d+(\.\d+)?", "N", line)
    return re.sub(r"\s+", " ", line).strip()
