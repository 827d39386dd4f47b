import hashlib
from typing import Any

import pytest

from maestro_actors import checks
from maestro_actors.checks import Check

FILES = {"a.md": "abc", "b.md": "defgh"}


@pytest.mark.parametrize(
    ("check", "verdict", "score", "got"),
    [
        (checks.Exists(), "pass", 1.0, "2 files"),
        (checks.Exists(min=3), "fail", 0.0, "2 files"),
        (checks.Exists(max=1), "fail", 0.0, "2 files"),
        (checks.Exists(files=("a.*",)), "pass", 1.0, "1 file"),
        (checks.Exists(min=0, files=("*.txt",)), "pass", 1.0, "0 files"),
        (checks.MinBytes(bytes=3), "pass", 1.0, "2 files"),
        (checks.MinBytes(bytes=4), "fail", 0.5, "a.md: 3 bytes"),
        (checks.MaxBytes(bytes=5), "pass", 1.0, "2 files"),
        (checks.MaxBytes(bytes=4), "fail", 0.5, "b.md: 5 bytes"),
        (checks.MaxBytes(bytes=4, files=("*.txt",)), "fail", 0.0, "no file"),
        (checks.NoForbidden(glob="*.tmp"), "pass", 1.0, "none"),
        (checks.NoForbidden(glob="a.*"), "fail", 0.0, "a.md"),
        (checks.Human(question="Nice?"), "pending", 0.0, "no answer yet"),
    ],
    ids=repr,
)
def test_a_check_of_files_says_what_it_found(
    bench: Any, check: Check, verdict: str, score: float, got: str
) -> None:
    bench.write(FILES)

    result = bench.one(check)

    assert (result.verdict, result.score, result.got) == (verdict, score, got)


def test_a_result_names_its_check_and_the_digests_of_what_it_looked_at(bench: Any) -> None:
    bench.write(FILES)

    _, second = bench.all(
        checks.Exists(), checks.MinBytes(name="not empty", bytes=1, files=("a.md",), required=False)
    )

    assert (second.index, second.name, second.kind, second.required) == (
        1,
        "not empty",
        "min_bytes",
        False,
    )
    assert second.expected == "at least 1 bytes in every file"
    assert second.evidence == {"a.md": hashlib.sha256(b"abc").hexdigest()}


def test_the_evidence_of_many_files_is_one_digest_that_each_of_them_changes(bench: Any) -> None:
    bench.write({f"{number}.md": "x" for number in range(60)})
    first = bench.one(checks.Exists()).evidence

    bench.write({"59.md": "y"})
    second = bench.one(checks.Exists()).evidence

    assert list(first) == list(second) == ["*"]
    assert first != second


def test_only_a_file_that_differs_from_before_counts_as_changed(bench: Any) -> None:
    bench.write(FILES)

    same = bench.one(checks.ChangedSinceStart(), written={"a.md": "abc"})
    other = bench.one(checks.ChangedSinceStart(), written={"a.md": "xyz"})
    new = bench.one(checks.ChangedSinceStart(), written={"c.md": "new"})

    assert [result.verdict for result in (same, other, new)] == ["fail", "pass", "pass"]


def test_a_link_is_forbidden_too_although_it_is_no_artifact(bench: Any) -> None:
    (bench.root / "secret.env").symlink_to("/etc/passwd")

    result = bench.one(checks.NoForbidden(glob="*.env"))

    assert result.verdict == "fail"
    assert result.got == "refused: 'secret.env' is a symbolic link"


def test_a_glob_that_leaves_the_workspace_is_an_error_and_hides_no_other_check(bench: Any) -> None:
    bench.write(FILES)

    broken, sound = bench.all(checks.Exists(files=("../*",)), checks.Exists())

    assert (broken.verdict, broken.score) == ("error", 0.0)
    assert "'../*'" in broken.got
    assert sound.verdict == "pass"


def test_a_deliverable_s_check_looks_at_its_own_files_and_comes_first(bench: Any) -> None:
    bench.write(FILES)
    order = bench.order(checks.Exists())
    (deliverable,) = order.contract.deliverables
    owed = type(order.contract)(
        id="c",
        name="c",
        phase="p",
        provider_persona_id="dev",
        deliverables=(
            type(deliverable)(name="d", artifacts=("a.*",), checks=(checks.MinBytes(bytes=1),)),
        ),
        checks=(checks.NoForbidden(glob="x"), checks.Exists(files=("b.*",)), checks.Exists()),
    ).owed_checks

    assert [globs for _, globs in owed] == [("a.*",), ("x",), ("b.*",), ("a.*",)]
