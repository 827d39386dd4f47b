"""The wheel is complete: built offline, installed alone, and used as a user has it."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VERIFICATION = (
    "from persona_executor_v2 import PersonaExecutorV2; print('OK')",
    "from maestro_hive.cost.token_tracker import TokenTracker; print('OK')",
)
"""With these the guide of the platform has its readers see whether they have migrated."""


def run(argv: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}
    return subprocess.run(
        argv,
        cwd=ROOT,
        env=plain | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source tree without the network."""
    directory = tmp_path_factory.mktemp("dist")
    result = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)])
    assert result.returncode == 0, result.stderr
    [path] = directory.iterdir()
    return path


def test_a_wheel_holds_the_packages_typed_and_the_team_of_the_demo(wheel: Path) -> None:
    platform = {path.name for path in (ROOT / "compat").iterdir()} - {"__pycache__"}
    packages = {"maestro_actors", "maestro_runtime", "maestro_storage", *platform}

    names = set(zipfile.ZipFile(wheel).namelist())

    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == packages
    assert {f"{package}/py.typed" for package in packages} <= names
    assert "maestro_runtime/cli/todo-api.toml" in names
    assert not [name for name in names if name.endswith(".pyc")]
    modules = {
        path.relative_to(ROOT / folder).as_posix()
        for folder in ("actors", "compat", "runtime", "storage")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert modules <= names


def test_the_demo_runs_from_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    """The dependencies come from this environment: its packages, but not its link to the source.

    A path in PYTHONPATH is searched, its .pth files are not read.
    """
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    installed = run(
        [
            *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
            *("--disable-pip-version-check", "--no-deps", "--no-index", str(wheel)),
        ]
    )
    assert installed.returncode == 0, installed.stderr
    dependencies = {"PYTHONPATH": sysconfig.get_path("purelib")}

    program = "import maestro_actors as a, maestro_runtime as r, maestro_storage as s; "
    program += "import persona_executor_v2 as p, maestro_hive.cost.token_tracker as t; "
    program += "print(a.__file__, r.__file__, s.__file__, p.__file__, t.__file__)"
    found = run([python, "-P", "-c", program], **dependencies)
    verified = [run([python, "-P", "-c", line], **dependencies).stdout for line in VERIFICATION]
    result = run(
        [str(tmp_path / "venv" / "bin" / "maestro-runtime"), "demo", "--json"], **dependencies
    )

    assert all(path.startswith(str(tmp_path)) for path in found.stdout.split()), found.stderr
    assert len(found.stdout.split()) == 5
    assert verified == ["OK\n", "OK\n"]
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["schema"] == "maestro.demo/1"
    assert {"kept", "run after the resume"} <= {task["fate"] for task in answer["tasks"]}
    assert answer["tasks"][0].keys() == {
        *("phase", "task_id", "state", "fate", "attempts", "interrupted", "tokens_used"),
    }
