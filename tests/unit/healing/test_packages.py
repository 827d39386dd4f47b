"""Which empty `__init__.py` files are created, and which are not."""

import pytest

from maestro_actors.checks import Check, CheckResult, Command
from maestro_actors.engine import Artifact, Outcome
from maestro_actors.team import Contract, Deliverable
from maestro_runtime.healing._packages import MARKERS_MAX, missing_markers

NO_MODULE = "exit code 1: ModuleNotFoundError: No module named 'pkg.sub'"


def contract(*globs: str, checks: tuple[Check, ...] = ()) -> Contract:
    return Contract(
        id="c",
        name="c",
        phase="p",
        provider_persona_id="dev",
        deliverables=(Deliverable(name="d", artifacts=globs),),
        checks=checks,
    )


def outcome(*paths: str, missing: tuple[str, ...] = (), got: str = "") -> Outcome:
    result = CheckResult(
        index=0,
        name="command",
        kind="command",
        required=True,
        verdict="fail",
        score=0.0,
        expected="",
        got=got,
    )
    return Outcome(
        artifacts=tuple(
            Artifact(path=path, size_bytes=1, sha256="0", changed=True) for path in paths
        ),
        missing=missing,
        checks=(result,) if got else (),
    )


@pytest.mark.parametrize(
    ("globs", "paths", "missing", "markers"),
    [
        (("pkg/*.py", "pkg/__init__.py"), ("pkg/a.py",), ("pkg/__init__.py",), ["pkg/__init__.py"]),
        (
            ("src/**/a.py", "src/**/__init__.py"),
            ("src/x/y/a.py",),
            ("src/**/__init__.py",),
            ["src/x/y/__init__.py", "src/x/__init__.py", "src/__init__.py"],
        ),
        (("pkg/__init__.py",), (), ("pkg/__init__.py",), []),
        (("a.py", "pkg/__init__.py"), ("a.py",), ("pkg/__init__.py",), []),
        (("pkg/*.py", "*.md"), ("pkg/a.py",), ("*.md",), []),
        (("__init__.py", "a.py"), ("a.py",), ("__init__.py",), []),
        (("pkg/*.md", "pkg/__init__.py"), ("pkg/a.md",), ("pkg/__init__.py",), []),
    ],
    ids=[
        "owed by name",
        "owed by pattern, in each folder",
        "nothing delivered",
        "nothing delivered there",
        "something else missing",
        "the workspace is no package",
        "no module there",
    ],
)
def test_a_marker_that_is_owed_is_created_only_next_to_or_above_delivered_modules(
    globs: tuple[str, ...], paths: tuple[str, ...], missing: tuple[str, ...], markers: list[str]
) -> None:
    assert sorted(missing_markers(contract(*globs), outcome(*paths, missing=missing))) == sorted(
        markers
    )


def test_an_import_that_fails_calls_for_the_markers_that_the_globs_allow() -> None:
    owed = contract("pkg/**/*.py", checks=(Command(argv=("python3",)),))
    paths = ("pkg/__init__.py", "pkg/sub/a.py")

    assert missing_markers(owed, outcome(*paths, got=NO_MODULE)) == ("pkg/sub/__init__.py",)
    assert missing_markers(owed, outcome(*paths, got="exit code 1: assert False")) == ()
    narrow = contract("pkg/sub/a.py", checks=owed.checks)
    assert missing_markers(narrow, outcome(*paths, got=NO_MODULE)) == ()


def test_no_more_markers_are_created_than_a_person_would_look_through() -> None:
    owed = contract("**/*.py", "**/__init__.py")
    paths = [f"p{number}/a.py" for number in range(MARKERS_MAX + 9)]

    markers = missing_markers(owed, outcome(*paths, missing=("**/__init__.py",)))

    assert len(markers) == MARKERS_MAX
