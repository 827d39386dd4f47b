"""A few seconds of soak, and daemons that leak on purpose; `make soak` makes hours of it."""

from pathlib import Path

import pytest

import leaky
from soak import Finding, soak


def quiet(_line: str) -> None:
    pass


def unsound(findings: list[Finding]) -> set[str]:
    return {finding.name for finding in findings if not finding.is_sound}


def test_a_daemon_comes_back_to_where_it_was_and_so_does_the_next_one(tmp_path: Path) -> None:
    findings = soak(tmp_path, 0, cycles_min=4, say=quiet)

    assert {finding.life for finding in findings} == {1, 2}
    assert unsound(findings) == set(), [*map(str, findings)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("memory", "memory (bytes)"), ("descriptors", "descriptors"), ("threads", "threads")],
)
def test_a_leak_is_found_by_its_name(tmp_path: Path, kind: str, name: str) -> None:
    program = (str(leaky.__file__), kind)

    findings = soak(tmp_path, 0, lives=1, program=program, say=quiet)

    assert unsound(findings) == {name}, [*map(str, findings)]
