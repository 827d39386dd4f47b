"""Run the tree's tests on a copy, within a time limit. Passed or failed, the result is data."""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path, PurePosixPath
from typing import Any

from command import finish, input_dir, inventory

COPIED_BYTES_MAX = 256 << 20
"""The tests of a larger tree are not run (256 MiB)."""
KEPT_OUTPUT_BYTES = 8 << 10
"""How much of the end of the output is kept (8 KiB)."""
COPY = Path(".code-health-copy")
"""Hidden, so that no contract takes it for an artifact."""
PYTEST_CONFIGS = {
    "pytest.ini": "",
    ".pytest.ini": "",
    "pyproject.toml": "[tool.pytest",
    "tox.ini": "[pytest]",
    "setup.cfg": "[tool:pytest]",
}
"""Files that may configure pytest, and the text that shows that they do."""


def main() -> None:
    """Write `results/tests.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time-limit-seconds", type=float, default=120.0)
    limit_seconds = parser.parse_args().time_limit_seconds
    root = input_dir().absolute()
    found = inventory()
    tests = [file["path"] for file in found["files"] if is_test(file["path"])]
    result: dict[str, Any] = {"test_files": len(tests), "time_limit_seconds": limit_seconds}
    if not tests:
        result |= {"outcome": "no tests", "summary": "no test files found"}
    elif found["truncated"] or sum(file["bytes"] for file in found["files"]) > COPIED_BYTES_MAX:
        result |= {"outcome": "not run", "summary": "the tree is too large to copy"}
    else:
        # An attempt that was killed leaves its copy behind.
        shutil.rmtree(COPY, ignore_errors=True)
        try:
            copy_tree(root, [file["path"] for file in found["files"]])
            result |= run(python_of(root), tests, limit_seconds)
        finally:
            shutil.rmtree(COPY, ignore_errors=True)
    finish("results/tests.json", result, f"{result['outcome']}: {result['summary']}")


def is_test(path: str) -> bool:
    """Tell whether a file is a test by its name."""
    return re.fullmatch(r"test_.*\.py|.*_test\.py|test\.py|tests\.py", Path(path).name) is not None


def copy_tree(root: Path, paths: list[str]) -> None:
    """Copy the files of the inventory; a file that cannot be read is missing in the copy."""
    COPY.mkdir()
    for path in paths:
        target = COPY / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy(root / path, target)
        except OSError as error:
            print(f"not copied: {path}: {error.strerror}", file=sys.stderr)


def python_of(root: Path) -> str:
    """Return the tree's own Python, which has what its tests import, or this one."""
    for name in (".venv", "venv"):
        python = root / name / "bin" / "python"
        if os.access(python, os.X_OK):
            return str(python)
    return sys.executable


def run(python: str, tests: list[str], limit_seconds: float) -> dict[str, Any]:
    """Run pytest where it is installed, else unittest, and describe how it ended."""
    runner = "pytest" if has_pytest(python) else "unittest"
    argv = [python, "-m", *(pytest_options() if runner == "pytest" else unittest_options(tests))]
    started = time.monotonic()
    exit_code, output = capture(argv, limit_seconds)
    lines = [line.strip(" =") for line in output.splitlines() if line.strip(" =")]
    no_tests = exit_code == 5 or (runner == "unittest" and "\nRan 0 tests" in output)  # noqa: PLR2004 - both runners' code
    outcomes = {None: "timed out", 0: "passed", 1: "failed"}
    return {
        "runner": runner,
        "outcome": "no tests" if no_tests else outcomes.get(exit_code, "error"),
        "summary": lines[-1][:200] if lines else "no output",
        "exit_code": exit_code,
        "duration_seconds": round(time.monotonic() - started, 1),
        "output_tail": output,
    }


def has_pytest(python: str) -> bool:
    """Ask the tree's Python."""
    question = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('pytest'))"
    return subprocess.run([python, "-c", question], check=False).returncode == 0  # noqa: S603 - runs the tree's own interpreter on purpose


def pytest_options() -> list[str]:
    """Keep pytest inside the copy: it would look for its settings in every folder above."""
    config = os.devnull
    for name, mark in PYTEST_CONFIGS.items():
        if (COPY / name).is_file() and mark in (COPY / name).read_text(errors="replace"):
            config = name
            break
    return [
        *("pytest", "-q", "--color=no", "-p", "no:cacheprovider"),
        *("--rootdir=.", "--confcutdir=.", "-c", config),
    ]


def unittest_options(tests: list[str]) -> list[str]:
    """Start in the folder of the tests: unittest does not look into folders that are no package."""
    tops = {PurePosixPath(path).parts[0] for path in tests if "/" in path}
    start = next((name for name in ("tests", "test") if name in tops), ".")
    return ["unittest", "discover", "-s", start]


def capture(argv: list[str], limit_seconds: float) -> tuple[int | None, str]:
    """Run in the copy; return the exit code, None after the time limit, and the output's end."""
    # The tests learn nothing of the original tree. MAESTRO_CALL_ID stays: by that mark the
    # runtime finds processes that outlive their parent.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"MAESTRO_INPUT_DIR", "MAESTRO_RESULT"}
    }
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str((COPY / "src").absolute())}
    process = subprocess.Popen(  # noqa: S603 - running the tree's tests is the purpose
        argv,
        cwd=COPY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    kept = bytearray()
    reader = threading.Thread(target=keep_end, args=(process, kept), daemon=True)
    reader.start()
    try:
        exit_code = process.wait(limit_seconds)
    except subprocess.TimeoutExpired:
        exit_code = None
    # Also when the tests ended by themselves: they may have left processes behind, or none.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    reader.join(5)
    return exit_code, bytes(kept).decode(errors="replace")


def keep_end(process: subprocess.Popen[bytes], kept: bytearray) -> None:
    """Read all output, so that the tests never wait for a reader, and keep its end."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    while chunk := os.read(process.stdout.fileno(), 1 << 16):
        kept += chunk
        del kept[:-KEPT_OUTPUT_BYTES]


if __name__ == "__main__":
    main()
