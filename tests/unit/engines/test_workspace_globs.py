import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_runtime.engines._names import name_for, slug_of
from maestro_runtime.workspace import Glob, GlobEscapes, check_glob


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "it is empty"),
        ("/etc/passwd", "it is absolute"),
        ("../x", "it has a '..' part"),
        ("a/../../x", "it has a '..' part"),
        ("a/..", "it has a '..' part"),
        ("a\\b", "it has a backslash"),
        ("a\0b", "it has a NUL"),
        ("src/", "it names a folder"),
        (".", "it names a folder"),
    ],
)
def test_a_glob_that_cannot_stay_inside_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(GlobEscapes) as caught:
        check_glob(pattern)

    assert str(caught.value) == (
        f"glob must name files inside the workspace: {reason}, got {pattern!r}"
    )


@pytest.mark.parametrize("pattern", ["a.py", "src/*.py", "**/*", "..a/b..", "./a", "[!a]?*"])
def test_a_glob_inside_the_workspace_is_accepted(pattern: str) -> None:
    check_glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/sub/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/x/y/a.py", True),
        ("src/**/*.py", "a.py", False),
        ("docs/**", "docs/a/b.md", True),
        ("docs/**", "docs", False),
        ("**", "a", True),
        ("**/**/a", "a", True),
        ("*", ".hidden", False),
        ("**/*.py", ".git/hook.py", False),
        (".github/*.yml", ".github/ci.yml", True),
        (".*", ".hidden", True),
        ("A.py", "a.py", False),
        ("a?c", "abc", True),
        ("[a-c].py", "d.py", False),
        ("./src//a.py", "src/a.py", True),
        ("a*", "ab\n", True),
    ],
)
def test_a_glob_matches_exactly_the_paths_it_describes(
    pattern: str, path: str, matches: bool
) -> None:
    assert Glob(pattern).matches(path) is matches


PARTS = st.lists(
    st.sampled_from(["*", "?", "[a-z]", "[!a]", "[]x]", "[", "a", "_", "1"]), min_size=1
)
PATTERNS = st.lists(st.one_of(st.just("**"), PARTS.map("".join)), min_size=1, max_size=4).map(
    "/".join
)


@given(pattern=PATTERNS, name=st.text(max_size=60))
def test_the_name_made_for_a_glob_is_matched_by_it(pattern: str, name: str) -> None:
    assert Glob(pattern).matches(name_for(pattern, slug_of(name)))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("src/*.py", "src/todo_api.py"),
        ("docs/**", "docs/todo_api.md"),
        ("tests/test_*.py", "tests/test_todo_api.py"),
        ("README.md", "README.md"),
        ("*/main.*", "todo_api/main.txt"),
    ],
)
def test_a_name_follows_the_deliverable_where_the_glob_leaves_it_open(
    pattern: str, name: str
) -> None:
    assert name_for(pattern, slug_of("Todo: API!")) == name
