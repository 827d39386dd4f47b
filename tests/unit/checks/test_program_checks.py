import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from maestro_actors import checks
from maestro_runtime.checks import CheckView
from maestro_runtime.checks._callable import _finding
from maestro_runtime.engines.guard import process_stat


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_program_runs_in_the_workspace_and_its_exit_code_decides(bench: Any) -> None:
    bench.write({"a.md": "x"})

    good = bench.one(checks.Command(argv=python("open('a.md'); print('fine')")))
    bad = bench.one(checks.Command(argv=python("import sys; sys.exit('2 tests failed')")))
    wanted = bench.one(checks.Command(argv=python("raise SystemExit(3)"), expect_exit=3))

    assert (good.verdict, good.got) == ("pass", "exit code 0: fine")
    assert (bad.verdict, bad.got) == ("fail", "exit code 1: 2 tests failed")
    assert wanted.verdict == "pass"


def test_a_program_that_a_signal_ends_fails(bench: Any) -> None:
    result = bench.one(checks.Command(argv=python("import os; os.kill(os.getpid(), 9)")))

    assert (result.verdict, result.got) == ("fail", f"death of signal {signal.SIGKILL.value}")


def test_a_program_that_is_missing_is_an_error(bench: Any) -> None:
    result = bench.one(checks.Command(argv=("no-such-program",)))

    assert result.verdict == "error"
    assert "cannot start 'no-such-program'" in result.got


def test_a_program_is_killed_at_its_limit_with_everything_it_started(bench: Any) -> None:
    # A shell: an interpreter may take as long to start.
    program = ("/bin/sh", "-c", "sleep 300 & echo $! > pids; wait")

    result = bench.one(checks.Command(argv=program, timeout_seconds=2))

    assert (result.verdict, result.got) == ("error", "no end within 2 s")
    child = process_stat(int((bench.root / "pids").read_text()))
    # An orphan stays a zombie where nobody reaps it.
    assert child is None or child.state == "Z"


@pytest.mark.parametrize(
    ("answer", "verdict", "score", "got"),
    [
        (True, "pass", 1.0, "True"),
        (False, "fail", 0.0, "False"),
        ((False, "too short"), "fail", 0.0, "too short"),
        (0.75, "pass", 0.75, "score 0.75"),
        ((0.25, "thin"), "fail", 0.25, "thin"),
        (1, "pass", 1.0, "score 1"),
        (2, "error", 0.0, "got 2"),
        (float("nan"), "error", 0.0, "got nan"),
        (None, "error", 0.0, "got None"),
        ("yes", "error", 0.0, "got 'yes'"),
        ((True, 5), "error", 0.0, "got (True, 5)"),
    ],
)
def test_what_a_function_returns_becomes_a_verdict(
    answer: object, verdict: str, score: float, got: str
) -> None:
    finding = _finding(answer)

    assert (finding.verdict, finding.score) == (verdict, score)
    assert got in finding.got


def test_a_function_of_the_team_is_asked_with_a_view_of_the_files(
    bench: Any, tmp_path: Path
) -> None:
    (tmp_path / "judges_of_view.py").write_text(
        "seen = []\ndef judge(view):\n    seen.append(view)\n    return len(view.files) == 2\n"
    )
    bench.write({"b.md": "b", "a.md": "a"})

    result = bench.one(checks.Callable(callable="judges_of_view:judge", import_dir=str(tmp_path)))

    assert result.verdict == "pass"
    (view,) = sys.modules["judges_of_view"].seen
    assert view == CheckView(
        workspace=str(bench.root), files=("a.md", "b.md"), contract_id="c-1", input_dir=None
    )


@pytest.mark.parametrize(
    ("body", "got"),
    [
        ("raise RuntimeError('no idea')", "RuntimeError: no idea"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError: "),
    ],
)
def test_a_function_that_raises_is_an_error(
    bench: Any, tmp_path: Path, body: str, got: str
) -> None:
    name = f"judges_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"def judge(view):\n    {body}\n")

    result = bench.one(checks.Callable(callable=f"{name}:judge", import_dir=str(tmp_path)))

    assert (result.verdict, result.got) == ("error", got)


def test_a_coroutine_and_a_missing_function_are_errors(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "judges_async.py").write_text("async def judge(view):\n    return True\n")

    later, missing = bench.all(
        checks.Callable(callable="judges_async:judge", import_dir=str(tmp_path)),
        checks.Callable(callable="judges_async:other", import_dir=str(tmp_path)),
    )

    assert later.verdict == missing.verdict == "error"
    assert later.got.endswith("got a coroutine")
    assert "cannot be imported" in missing.got


def test_a_function_that_never_returns_is_an_error_at_its_limit(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "judges_slow.py").write_text(
        "import threading\ngo = threading.Event()\n"
        "def judge(view):\n    return go.wait(timeout=30)\n"
    )

    result = bench.one(
        checks.Callable(callable="judges_slow:judge", import_dir=str(tmp_path)),
        callable_seconds=0.3,
    )

    assert (result.verdict, result.got) == ("error", "no answer within 0.3 s")
    sys.modules["judges_slow"].go.set()
