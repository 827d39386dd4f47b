import json
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CodeHealth = Any
PASSING = "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n        pass\n"


def snapshot(tree: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of everything in a tree."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in tree.rglob("*")}


def without_pytest(tree: Path) -> None:
    """Give the tree a Python of its own that has nothing installed."""
    python = tree / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')
    python.chmod(0o755)


def test_the_inventory_counts_files_and_lines_per_language_and_package(
    code_health: CodeHealth,
) -> None:
    tree = code_health.tree
    (tree / "src/app/inner").mkdir(parents=True)
    (tree / "src/app/__init__.py").write_text("")
    (tree / "src/app/inner/__init__.py").write_text("a = 1\nb = 2")
    (tree / "setup.py").write_text("\n\n\n")
    (tree / "README.md").write_text("# Hello\n")
    (tree / "logo").write_bytes(b"\x89\0\n\n")

    inventory = code_health.survey()

    assert inventory["languages"] == {
        "Python": {"files": 3, "lines": 5, "bytes": 14},
        "Markdown": {"files": 1, "lines": 1, "bytes": 8},
        "Other": {"files": 1, "lines": 0, "bytes": 4},
    }
    assert inventory["packages"] == {
        "(no package)": {"files": 1, "lines": 3, "bytes": 3},
        "src/app": {"files": 2, "lines": 2, "bytes": 11},
    }
    assert [file["path"] for file in inventory["files"]] == [
        "README.md",
        "logo",
        "setup.py",
        "src/app/__init__.py",
        "src/app/inner/__init__.py",
    ]
    assert (inventory["root"], inventory["truncated"]) == ("tree", False)


def test_the_inventory_leaves_out_what_is_no_source_and_says_what_it_could_not_read(
    code_health: CodeHealth,
) -> None:
    tree = code_health.tree
    for folder in (".git", "node_modules", "env"):
        (tree / folder).mkdir()
        (tree / folder / "file.py").touch()
    (tree / "env/pyvenv.cfg").touch()
    (tree / "loop").symlink_to(".")
    (tree / "gone").symlink_to("nowhere")
    os.mkfifo(tree / "pipe.py")
    (tree / os.fsdecode(b"latin-\xe9.py")).touch()
    (tree / "huge.py").write_bytes(b"x\n" * (5 << 19))

    inventory = code_health.survey()

    assert inventory["files"] == [
        {"path": "huge.py", "language": "Python", "bytes": 5 << 20, "lines": None}
    ]
    assert {item["path"]: item["reason"] for item in inventory["skipped"]} == {
        "gone": "symbolic link",
        "latin-\ufffd.py": "name is not UTF-8",
        "loop": "symbolic link",
        "pipe.py": "not a regular file",
    }


def test_a_workspace_inside_the_tree_is_no_part_of_it(code_health: CodeHealth) -> None:
    workspace = code_health.tree / "out"
    workspace.mkdir()
    (workspace / "made.py").touch()
    code_health.workspace = workspace

    assert code_health.survey()["files"] == []


def test_a_tree_with_too_many_files_is_cut_off(
    code_health: CodeHealth,
    tool: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inventory = tool("inventory")
    monkeypatch.setattr(inventory, "FILES_MAX", 2)
    for name in "abc":
        (code_health.tree / name).touch()

    survey = inventory.survey(code_health.tree, code_health.workspace)

    assert (len(survey["files"]), survey["truncated"]) == (2, True)


def test_without_a_source_tree_the_tools_say_so(code_health: CodeHealth) -> None:
    with pytest.raises(ValueError, match="run the team with --input DIR"):
        code_health.function("inventory", "take_inventory", input_dir=None)

    environment = {"MAESTRO_INPUT_DIR": "/nowhere"}
    assert code_health.program("byte_compile.py", **environment).returncode == 1


def test_byte_compilation_lists_what_does_not_compile_and_goes_on(
    code_health: CodeHealth,
) -> None:
    sources = {
        "a_good.py": b"x = 1\n",
        "b_syntax.py": b"x = 1\ndef (:\n",
        "c_nul.py": b"x = '" + b"a" * 9000 + b"\0'",
        "d_encoding.py": b"x = '\xff'\n",
        "e_deep.py": b"(" * 5000 + b")" * 5000,
        "f_gone.py": b"",
        "g_warned.py": rb"x = '\d'",
        "h_good.py": b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
    }
    for name, content in sources.items():
        (code_health.tree / name).write_bytes(content)
    with (code_health.tree / "huge.py").open("wb") as file:
        file.truncate(5 << 20)
    code_health.survey()
    (code_health.tree / "f_gone.py").unlink()
    before = snapshot(code_health.tree)

    done = code_health.program("byte_compile.py")

    assert (done.returncode, done.stderr) == (0, "")
    result = code_health.result("byte_compile")
    assert result["files"] == 9
    assert [failure["path"][0] for failure in result["failures"]] == ["b", "c", "d", "e", "f"]
    assert result["failures"][0]["line"] == 2
    assert result["failures"][0]["reason"] == "SyntaxError: invalid syntax"
    assert result["failures"][4]["reason"] == "FileNotFoundError: No such file or directory"
    assert result["skipped"] == [{"path": "huge.py", "reason": "too large"}]
    assert result["warnings"] == 1
    assert snapshot(code_health.tree) == before
    assert json.loads((code_health.workspace / "told.json").read_text()) == {
        "usage": {"input_tokens": 0, "output_tokens": 0},
        "message": "9 Python files, 5 do not compile",
    }


def test_tests_run_on_a_copy_and_their_failure_is_data(code_health: CodeHealth) -> None:
    """With pytest; the settings of a folder above the copy must not count."""
    tree = code_health.tree
    (code_health.workspace / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tree / "src").mkdir()
    (tree / "src/lib.py").write_text("x = 1\n")
    (tree / "tests").mkdir()
    (tree / "tests/test_lib.py").write_text(
        "import lib, os, pathlib\n"
        "def test_good():\n    pathlib.Path('made.txt').touch()\n"
        "def test_blind():\n    assert 'MAESTRO_INPUT_DIR' not in os.environ\n"
        "def test_bad():\n    assert lib.x == 2\n"
    )
    code_health.survey()
    before = snapshot(tree)

    done = code_health.program("run_tests.py")

    assert (done.returncode, done.stderr) == (0, "")
    result = code_health.result("tests")
    assert (result["runner"], result["outcome"], result["exit_code"]) == ("pytest", "failed", 1)
    assert result["summary"].startswith("1 failed, 2 passed in ")
    assert "assert 1 == 2" in result["output_tail"]
    assert snapshot(tree) == before
    assert sorted(path.name for path in code_health.workspace.iterdir()) == [
        "pytest.ini",
        "results",
        "told.json",
    ]


@pytest.mark.parametrize(
    ("config", "option"),
    [
        ("pytest.ini", "[pytest]\naddopts = --co\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '--co'\n"),
    ],
)
def test_the_settings_of_the_tree_count(config: str, option: str, code_health: CodeHealth) -> None:
    """`--co` only collects, so a test that would fail does not."""
    (code_health.tree / config).write_text(option)
    (code_health.tree / "test_bad.py").write_text("def test_bad():\n    assert False\n")
    code_health.survey()

    code_health.program("run_tests.py")

    assert code_health.result("tests")["summary"].startswith("1 test collected")


@pytest.mark.parametrize(
    ("folder", "source", "outcome", "summary"),
    [
        ("tests", PASSING, "passed", "OK"),
        (".", PASSING.replace("pass", "self.fail()"), "failed", "FAILED (failures=1)"),
        ("tests", "", "no tests", ""),
        (".", "import not_there\n" + PASSING, "failed", "FAILED (errors=1)"),
    ],
)
def test_without_pytest_the_tests_run_with_unittest(
    folder: str, source: str, outcome: str, summary: str, code_health: CodeHealth
) -> None:
    without_pytest(code_health.tree)
    (code_health.tree / folder).mkdir(exist_ok=True)
    (code_health.tree / folder / "test_it.py").write_text(source)
    code_health.survey()

    code_health.program("run_tests.py")

    result = code_health.result("tests")
    assert (result["runner"], result["outcome"]) == ("unittest", outcome)
    assert result["summary"].startswith(summary)


def test_tests_end_at_the_time_limit_with_everything_they_started(code_health: CodeHealth) -> None:
    """The end of the named pipe shows that the child process is gone."""
    pipe = code_health.workspace / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    without_pytest(code_health.tree)
    (code_health.tree / "hold.py").write_text(
        "import signal\n"
        f"pipe = open({str(pipe)!r}, 'w')\n"
        "print('held', file=pipe, flush=True)\n"
        "signal.pause()\n"
    )
    (code_health.tree / "test_slow.py").write_text(
        "import subprocess, sys, threading\n"
        "subprocess.Popen([sys.executable, 'hold.py'])\n"
        "print('waiting', flush=True)\n"
        "threading.Event().wait()\n"
    )
    code_health.survey()

    code_health.program("run_tests.py", "--time-limit-seconds", "2")

    result = code_health.result("tests")
    assert (result["outcome"], result["exit_code"]) == ("timed out", None)
    assert result["summary"] == "waiting"
    assert result["duration_seconds"] < 6
    readable, _, _ = select.select([reader], [], [], 20)
    assert readable
    assert os.read(reader, 100) == b"held\n"
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_a_copy_left_by_a_killed_attempt_is_replaced(code_health: CodeHealth) -> None:
    without_pytest(code_health.tree)
    (code_health.tree / "test_it.py").write_text(PASSING)
    left = code_health.workspace / ".code-health-copy"
    left.mkdir()
    (left / "test_old.py").write_text("raise SystemExit(3)")
    code_health.survey()

    code_health.program("run_tests.py")

    assert code_health.result("tests")["outcome"] == "passed"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[a](other.md)", "good"),
        ("[a](other.md#part)", "good"),
        ("![a](<with space.md>)", "good"),
        ("[a](with%20space.md)", "good"),
        ('[a](other.md "title")', "good"),
        ("[a](/docs/page.md)", "good"),
        ("[a](sub)", "good"),
        ("[a](../README.md)", "good"),
        ("[a](a_(b).md)", "good"),
        ("[a]: other.md", "good"),
        ("[a]: none.md", "broken"),
        ("[a](none.md)", "broken"),
        ("[a](" + "x" * 5000 + ")", "broken"),
        ("[a](x%00y)", "broken"),
        ("[a](../../outside.md)", "outside"),
        ("[a](https://example.org/x)", "external"),
        ("[a](mailto:a@example.org)", "external"),
        ("[a](//example.org)", "external"),
        ("[a](#part)", "anchors"),
    ],
)
def test_each_kind_of_link_is_judged(text: str, kind: str, code_health: CodeHealth) -> None:
    tree = code_health.tree
    (tree / "docs/sub").mkdir(parents=True)
    (tree / "README.md").touch()
    for name in ("other.md", "with space.md", "a_(b).md"):
        (tree / "docs" / name).touch()
    (tree / "docs/page.md").write_text(f"one\n\n{text}\n")
    code_health.survey()

    code_health.function("links", "check_links")

    result = code_health.result("links")
    assert result["links"] == 1
    assert sum(result[name] for name in ("external", "anchors", "outside", "broken")) == (
        kind != "good"
    )
    assert kind == "good" or result[kind] == 1
    if kind == "broken":
        assert [(item["path"], item["line"]) for item in result["broken_links"]] == [
            ("docs/page.md", 3)
        ]


def test_links_in_code_are_no_links(code_health: CodeHealth) -> None:
    (code_health.tree / "a.md").write_text(
        "`[a](none)`\n```\n[b](none)\n~~~\n[c](none)\n```\n[d](none)\n[^1]: none\n[ ](\n"
    )
    (code_health.tree / "b.md").write_bytes(b"\xff [e](none)\n")
    code_health.survey()

    code_health.function("links", "check_links")

    result = code_health.result("links")
    assert [(item["path"], item["line"]) for item in result["broken_links"]] == [
        ("a.md", 7),
        ("b.md", 1),
    ]


def test_hostile_markdown_is_checked_in_linear_time(code_health: CodeHealth) -> None:
    """A quarter of a megabyte of each; anything quadratic runs into the time limit of the test."""
    for number, part in enumerate(["](", "](<", "[a](x", "`", "[", "[a](b(c", "[a]: ", "](  "]):
        (code_health.tree / f"{number}.md").write_text(part * ((1 << 18) // len(part)))
    code_health.survey()

    code_health.function("links", "check_links")

    assert code_health.result("links")["files"] == 8


def test_the_report_holds_every_result_as_plain_text(code_health: CodeHealth) -> None:
    tree = code_health.tree
    (tree / "tests").mkdir()
    (tree / "tests/test_a.py").write_text("print('```')\nraise SystemExit('```` <b>')\n")
    (tree / "bad|<img>\n.py").write_text("def (:\n")
    (tree / "README.md").write_text("[x](none_*.md)\n")
    code_health.survey()
    code_health.program("byte_compile.py")
    code_health.program("run_tests.py")
    code_health.function("links", "check_links")

    code_health.function("report", "write_report")

    report = (code_health.workspace / "report.md").read_text()
    assert report.startswith("# Health of tree\n\nReport on \\<this\\> tree.\n")
    assert "| Python files that do not compile | 1 of 2 |" in report
    assert "| bad\\|\\<img\\> .py | 1 | SyntaxError: invalid syntax |" in report
    assert "| Broken links | 1 of 1 |" in report
    assert "| README.md | 1 | none\\_\\*.md |" in report
    fences = [line for line in report.splitlines() if line.startswith("`````")]
    assert fences == ["`````text", "`````"]


def test_an_empty_tree_has_a_report(code_health: CodeHealth) -> None:
    code_health.survey()
    code_health.program("byte_compile.py")
    code_health.program("run_tests.py")
    code_health.function("links", "check_links")

    code_health.function("report", "write_report")

    report = (code_health.workspace / "report.md").read_text()
    assert "| Tests | no tests: no test files found |" in report
    assert "| Files | 0, 0 lines |" in report
