"""Nothing is written outside the workspace and the state directory."""

import os
import textwrap
from pathlib import Path

import pytest

from command_line import CommandLine

TEAM = textwrap.dedent(
    """
    [team]
    name = "tidy"
    requirement = "leave no trace"
    [personas.stand_in]
    [personas.program]
    engine = "command"
    command = { argv = ["sh", "-c", "echo hello > page.txt"] }
    [personas.function]
    engine = "python"
    callable = "tidy_work:work"
    [[phases]]
    name = "all"
    [[contracts]]
    id = "code"
    name = "Code"
    phase = "all"
    provider_persona_id = "stand_in"
    deliverables = [{ name = "code", artifacts = ["src/*.py", "data.json"] }]
    checks = [{ kind = "python_compiles", files = ["src/*.py"] }]
    [[contracts]]
    id = "page"
    name = "Page"
    phase = "all"
    provider_persona_id = "program"
    deliverables = [{ name = "page", artifacts = ["page.txt"] }]
    checks = [
        { kind = "text_regex", pattern = "hello" },
        { kind = "command", argv = ["true"] },
        { kind = "callable", callable = "tidy_work:check" },
    ]
    [[contracts]]
    id = "edited"
    name = "Edited"
    phase = "all"
    provider_persona_id = "function"
    deliverables = [{ name = "edited", artifacts = ["edited.txt"] }]
    """
)
WORK = textwrap.dedent(
    """
    import tidy_helper


    def work(task):
        edit = {"kind": "whole_file", "path": "edited.txt", "content": tidy_helper.WORD}
        return {"input_tokens": 1, "edits": [edit]}


    def check(request):
        return True
    """
)


@pytest.fixture
def here(tmp_path: Path) -> CommandLine:
    """A command line whose home, temporary and current directories are its own, with a team."""
    for name in ("home", "tmp", "team", "state", "cwd"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "team" / "team.toml").write_text(TEAM)
    (tmp_path / "team" / "tidy_work.py").write_text(WORK)
    (tmp_path / "team" / "tidy_helper.py").write_text("WORD = 'hello'\n")
    cli = CommandLine(tmp_path / "cwd")
    cli.environment |= {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "MAESTRO_STATE_DIR": str(tmp_path / "state"),
    }
    cli.environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return cli


def test_a_run_writes_into_its_workspace_and_its_state_and_nowhere_else(
    here: CommandLine, tmp_path: Path
) -> None:
    before = paths_of(tmp_path)

    team, workspace = tmp_path / "team" / "team.toml", tmp_path / "workspace"
    run = here("run", team, "--session", "s1", "--output", workspace)
    looked = [here(*command.split()) for command in ("session show s1", "tokens report", "doctor")]

    assert run.returncode == 0, run.stderr
    assert [result.returncode for result in looked] == [0, 0, 0]
    written = {path for path in paths_of(tmp_path) - before if path.split("/")[0] != "state"}
    delivered = {"src", "src/code.py", "data.json", "page.txt", "edited.txt"}
    ours = {path for path in written if path.startswith("workspace/.maestro")}
    assert written - ours == {"workspace", *(f"workspace/{name}" for name in delivered)}


def paths_of(directory: Path) -> set[str]:
    """Return all that is below a directory."""
    return {
        os.path.relpath(Path(root, name), directory)
        for root, folders, files in os.walk(directory)
        for name in (*folders, *files)
    }
