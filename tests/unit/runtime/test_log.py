"""What is logged: in one line each, with its place in the work, and whatever nobody catches."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maestro_runtime.log import RETURNED

PROLOGUE = """
import logging, os, sys, threading, warnings
from pathlib import Path
from maestro_runtime.log import configure_logs, set_level
log = logging.getLogger("maestro.test")
"""

SECRET = "c4nary-value/+"


def logged(
    program: str, *, as_json: bool = True, directory: Path | None = None
) -> tuple[int, list[Any], str]:
    """Run a program that logs; return its exit code, its records if they are JSON, its stderr."""
    done = subprocess.run(
        [sys.executable, "-c", f"{PROLOGUE}\nconfigure_logs(as_json={as_json})\n{program}"],
        env={**os.environ, "SERVICE_API_KEY": SECRET},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("{")] if as_json else []
    return done.returncode, [json.loads(line) for line in lines], done.stderr


def test_a_record_is_one_line_with_its_fields_and_without_secrets() -> None:
    _, records, stderr = logged(
        'log.warning("key %s\\nforged", os.environ["SERVICE_API_KEY"], '
        'extra={"header": {"authorization": os.environ["SERVICE_API_KEY"]}})'
    )

    (record,) = records
    assert record["event"] == "key ***\nforged"
    assert record["header"] == {"authorization": "***"}
    assert (record["level"], record["logger"]) == ("warning", "maestro.test")
    assert SECRET not in stderr


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_is_logged_without_secrets(*, as_json: bool) -> None:
    program = """
try:
    raise ValueError("refused: " + os.environ["SERVICE_API_KEY"])
except ValueError:
    log.exception("failed")
"""

    _, _, stderr = logged(program, as_json=as_json)

    assert "ValueError: refused: ***" in stderr
    assert SECRET not in stderr


@pytest.mark.parametrize(
    ("program", "event", "code"),
    [
        (
            'raise ValueError(os.environ["SERVICE_API_KEY"])',
            "an exception ends the process",
            1,
        ),
        (
            """
def work(): raise ValueError(os.environ["SERVICE_API_KEY"])
thread = threading.Thread(target=work, name="worker"); thread.start(); thread.join()
""",
            "an exception ends thread worker",
            0,
        ),
        (
            """
class Grave:
    def __del__(self): raise ValueError(os.environ["SERVICE_API_KEY"])
Grave()
""",
            "an exception that nobody can catch",
            0,
        ),
    ],
    ids=["main thread", "another thread", "destructor"],
)
def test_what_nobody_catches_is_logged_without_secrets(program: str, event: str, code: int) -> None:
    returncode, records, stderr = logged(program)

    assert returncode == code
    assert event in records[-1]["event"]
    assert "ValueError: ***" in records[-1]["exception"]
    assert SECRET not in stderr


def test_a_thread_that_ends_itself_is_not_logged() -> None:
    _, records, _ = logged("thread = threading.Thread(target=sys.exit); thread.start()")

    assert records == []


def test_warnings_are_logged() -> None:
    _, records, _ = logged('warnings.warn("careful", UserWarning, stacklevel=1)')

    assert [record["logger"] for record in records] == ["py.warnings"]
    assert "UserWarning: careful" in records[0]["event"]


def test_a_fatal_signal_leaves_the_stacks_on_stderr() -> None:
    returncode, _, stderr = logged("os.abort()")

    assert returncode == -6
    assert "Fatal Python error: Aborted" in stderr


def test_the_level_can_be_changed() -> None:
    _, records, _ = logged(
        'log.info("before"); set_level("info"); log.info("after"); set_level("error"); '
        'log.warning("late")'
    )

    assert [record["event"] for record in records] == ["after"]


def test_an_error_that_goes_back_to_its_caller_is_logged_only_for_who_looks_for_bugs() -> None:
    _, records, _ = logged(
        f'returned = logging.getLogger("{RETURNED}"); set_level("info"); returned.info("refused"); '
        'set_level("debug"); returned.info("seen"); set_level("info"); returned.info("refused")'
    )

    assert [record["event"] for record in records] == ["seen"]


def test_a_file_is_opened_anew_when_it_has_been_moved_away(tmp_path: Path) -> None:
    program = """
file = Path("log")
configure_logs(as_json=True, file=file)
log.warning("first")
file.rename("log.1")
log.warning("second %s", os.environ["SERVICE_API_KEY"])
"""

    _, records, _ = logged(program, directory=tmp_path)

    assert records == []
    assert json.loads((tmp_path / "log.1").read_text())["event"] == "first"
    assert json.loads((tmp_path / "log").read_text())["event"] == "second ***"


def test_secrets_that_are_learned_later_are_taken_out_too() -> None:
    _, records, _ = logged(
        'configure_logs(as_json=True, secrets=["first-one"]).learn(["later-one"]); '
        'log.warning("first-one later-one")'
    )

    assert [record["event"] for record in records] == ["*** ***"]


def test_importing_the_module_configures_nothing() -> None:
    before = (sys.excepthook, list(logging.getLogger().handlers))

    __import__("maestro_runtime.log")

    assert (sys.excepthook, list(logging.getLogger().handlers)) == before
