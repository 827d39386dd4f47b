"""SIGKILL of a process at every step of an edit plan, and at every step of finishing it."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import CommandLine
from maestro_runtime.edits import roll_forward
from maestro_runtime.workspace import Workspace

PROGRAM = """
import os, signal, sys
from maestro_runtime.edits import SearchReplace, UnifiedDiff, WholeFile, apply_plan, roll_forward
from maestro_runtime.workspace import Workspace

class Kill:
    left = int(sys.argv[3])
    def reached(self, step):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

workspace = Workspace(sys.argv[1])
if sys.argv[2] == "apply":
    apply_plan(workspace, "0" * 32, (
        SearchReplace(path="src/a.py", search="one", replace="two"),
        WholeFile(path="docs/new/b.md", content="new"),
        UnifiedDiff(path="c.txt", diff="@@ @@\\n-old\\n+new\\n"),
    ), Kill())
else:
    roll_forward(workspace, Kill())
"""
BEFORE = {"src/a.py": "one\n", "c.txt": "old\n"}
AFTER = {"src/a.py": "two\n", "docs/new/b.md": "new", "c.txt": "new\n"}
STEPS = ("drafted", *("staged",) * 3, "journalled", *("renamed",) * 3, "cleared")
JOURNALLED = STEPS.index("journalled") + 1


def child(root: Path, action: str, step: int) -> None:
    """Run `action` in a process that kills itself after its n-th step, 1-based."""
    argv = [sys.executable, "-c", PROGRAM, str(root), action, str(step)]
    result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == -signal.SIGKILL, result.stderr


def tree(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in root.rglob("*")
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    for path, content in BEFORE.items():
        made.write_text(path, content)
    return made


@pytest.mark.parametrize(
    "step", range(1, len(STEPS) + 1), ids=[f"{n}-{step}" for n, step in enumerate(STEPS, 1)]
)
def test_a_kill_at_any_step_of_a_plan_changes_all_of_its_files_or_none(
    workspace: Workspace, step: int
) -> None:
    child(workspace.root, "apply", step)

    for _ in range(2):
        assert roll_forward(workspace) == ()
        assert tree(workspace.root) == (BEFORE if step < JOURNALLED else AFTER)


@pytest.mark.parametrize("step", range(1, len(STEPS) - JOURNALLED + 1))
def test_a_kill_while_a_plan_is_finished_loses_nothing_of_it(
    workspace: Workspace, step: int
) -> None:
    child(workspace.root, "apply", JOURNALLED)
    child(workspace.root, "finish", step)

    assert roll_forward(workspace) == ()
    assert tree(workspace.root) == AFTER


def test_an_intent_holds_the_digests_of_its_files_before_and_after(workspace: Workspace) -> None:
    child(workspace.root, "apply", JOURNALLED)

    intent = (workspace.root / f".maestro/edits/{'0' * 32}.json").read_text()

    for content in (*BEFORE.values(), *AFTER.values()):
        assert hashlib.sha256(content.encode()).hexdigest() in intent


EDITOR = """
import os, signal
from pathlib import Path
from maestro_runtime.edits import SearchReplace, WholeFile, apply_plan
from maestro_runtime.workspace import Workspace

class Kill:
    def reached(self, step):
        if step == "renamed":
            os.kill(os.getpid(), signal.SIGKILL)

def edit(task):
    note = Path(task.workspace, "note.md")
    if task.ordinal == 1:
        note.write_text("old")
        apply_plan(Workspace(task.workspace), task.call_id, (
            WholeFile(path="a.md", content="new"),
            SearchReplace(path="note.md", search="old", replace="new"),
        ), Kill())
    return note.read_text()
"""


def test_a_resumed_session_finishes_the_plan_its_runtime_died_in(cli: CommandLine) -> None:
    (cli.directory / "editor.py").write_text(EDITOR)
    team = cli.team('engine = "python"\ncallable = "editor:edit"')
    output = cli.directory / "maestro-output" / "s1"
    assert cli("run", team, "--session", "s1").returncode == -signal.SIGKILL
    assert (output / "note.md").read_text() == "old"

    result = cli("session", "resume", "s1", "--json")

    assert result.returncode == 0, result.stderr
    attempts = json.loads(result.stdout)["tasks"][0]["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["interrupted", "ok"]
    assert (output / "note.md").read_text() == "new"
    assert (output / "a.md").read_text() == "new"
    assert not list(output.rglob(".*.edit"))
