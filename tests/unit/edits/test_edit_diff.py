import difflib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_runtime.edits._diff import FileDiff, Hunk, parse_diff
from maestro_runtime.edits._text import apply_hunks
from maestro_runtime.edits.errors import Misfit

LINE = st.text(st.sampled_from("ab-+@ \\#\r\té"), max_size=6)
ENDS_OPEN = "\\ No newline at end of file\n"


def split(text: str) -> list[str]:
    """Split at line feeds only, as diffs do."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def diff_between(old: str, new: str, seed: int = 0, names: tuple[str, str] = ("a/f", "b/f")) -> str:
    """Return a unified diff whose hunk headers are wrong."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    lines = []
    for number, line in enumerate(difflib.unified_diff(split(old), split(new), *names)):
        if number > 1 and line.startswith("@@"):
            counts = [dice.randrange(99) for _ in range(4)]
            lines.append("@@ -{},{} +{},{} @@ def f():\n".format(*counts))
        elif line.endswith("\n"):
            lines.append(line)
        else:
            lines += [f"{line}\n", ENDS_OPEN]
    return "".join(lines)


def patched(old: str, diff: str, path: str | None = "f") -> str:
    [file] = parse_diff(diff.encode(), path)
    return apply_hunks(old.encode(), file.hunks).decode()


@given(st.lists(LINE, unique=True, max_size=30), st.data(), st.booleans(), st.booleans())
def test_a_diff_whose_headers_are_wrong_leads_from_the_old_text_to_the_new(
    lines: list[str], data: st.DataObject, old_ends_open: bool, new_ends_open: bool
) -> None:
    old = "".join(f"{line}\n" for line in lines)
    kept = [line for line in lines if data.draw(st.integers(0, 3))]
    for line in data.draw(st.lists(LINE, max_size=4)):
        kept.insert(data.draw(st.integers(0, len(kept))), line)
    new = "".join(f"{line}\n" for line in kept)
    old = old.removesuffix("\n") if old_ends_open else old
    new = new.removesuffix("\n") if new_ends_open else new
    if old == new:
        return

    diff = diff_between(old, new, data.draw(st.integers(0, 99)))

    assert patched(old, diff) == new


@given(st.lists(st.sampled_from("ab"), max_size=12), st.lists(st.sampled_from("ab"), max_size=12))
def test_a_diff_of_a_text_that_repeats_is_applied_as_meant_or_refused(
    before: list[str], after: list[str]
) -> None:
    old, new = ("".join(f"{line}\n" for line in lines) for lines in (before, after))
    if old == new:
        return

    try:
        result = patched(old, diff_between(old, new))
    except Misfit as refusal:
        result = refusal.reason

    assert result == new or "must be found in one place, found in" in result


@given(st.text(st.sampled_from("ab-+@ \\\n\r"), max_size=60), st.sampled_from(["f", None]))
def test_whatever_is_given_as_a_diff_is_read_or_refused(text: str, path: str | None) -> None:
    try:
        files = parse_diff(text.encode(), path)
    except Misfit:
        return
    assert all(file.hunks and all(hunk.lines for hunk in file.hunks) for file in files)


TEXT = "".join(f"{number}\n" for number in range(1, 21))


@pytest.mark.parametrize(
    ("diff", "reason", "lines"),
    [
        ("@@\n 3\n-4\n-6\n", "hunk 1 must be found in one place, found in 0; only its first", (3,)),
        ("@@\n-2\n@@\n 1\n-2\n", "hunks must not change the same lines", (2,)),
        ("@@\n-2\n-3\n@@\n 2\n-3\n 4\n", "hunks must not change the same lines", (3,)),
        ("@@\n 2\n+x\n 3\n@@\n 2\n+y\n", "hunks must not change the same lines", (3,)),
        ("@@\n+x\n", "hunk 1 must have a line of context, or one to remove", ()),
        ("@@\n-2\n@@\n", "hunk that ends at line 4 of the diff has no lines", ()),
        ("@@\n-2\nsee?\n", "line 3 of the diff must begin with ' ', '-', '+' or '@@', got 's", ()),
        ("-2\n+3\n", "diff must have a hunk for each file, beginning with '@@'", ()),
        ("--- f\n+++ /dev/null\n@@\n-2\n", "diff may only change lines, got the removal of", ()),
        ("rename from a\n@@\n-2\n", "diff may only change lines, got 'rename from a'", ()),
        ("new file mode 120000\n@@\n+2\n", "diff may only change lines, got 'new file mode 1", ()),
    ],
)
def test_a_diff_that_does_not_fit_is_refused_with_its_lines(
    diff: str, reason: str, lines: tuple[int, ...]
) -> None:
    with pytest.raises(Misfit) as refusal:
        patched(TEXT, diff)

    assert refusal.value.reason.startswith(reason)
    assert refusal.value.lines == lines


@pytest.mark.parametrize(
    ("diff", "reason"),
    [
        ("@@\n-2\n", "diff must name its file after '---' and '+++'"),
        ("--- a/f\n+++ b/g\n@@\n-2\n", "diff must name one file, got 'f' and 'g'"),
        ('--- "a/f"\n+++ "b/f"\n@@\n-2\n', "names of files must not be quoted, got '\"a/f\"'"),
        ("--- a/f\n+++ b/f\n--- a/g\n+++ b/g\n@@\n-2\n", "diff must have a hunk for each file"),
    ],
)
def test_a_diff_that_does_not_name_its_files_is_refused(diff: str, reason: str) -> None:
    with pytest.raises(Misfit) as refusal:
        parse_diff(diff.encode(), None)

    assert refusal.value.reason.startswith(reason)


def test_a_diff_of_git_names_several_files_and_may_remove_lines_that_look_like_names() -> None:
    files = parse_diff(
        b"Here is the change:\n"
        b"diff --git a/f b/f\nindex 1..2 100644\n--- a/f\t2026-01-01\n+++ b/f\n"
        b"@@ -1 +1 @@\n--- gone\n+++ came\n+x\n\n"
        b"diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+y\n"
        b"--- x.txt\n+++ x.txt\n@@ @@\n-z\n",
        None,
    )

    assert files == [
        FileDiff("f", False, [Hunk([(b"-", b"-- gone"), (b"+", b"++ came"), (b"+", b"x")])]),  # noqa: FBT003
        FileDiff("n", True, [Hunk([(b"+", b"y")])]),  # noqa: FBT003
        FileDiff("x.txt", False, [Hunk([(b"-", b"z")])]),  # noqa: FBT003
    ]


def test_hunks_speak_of_the_file_as_it_was_and_may_share_context() -> None:
    diff = "@@\n 1\n-2\n+7\n 3\n@@\n 3\n-4\n 5\n@@\n 7\n+x\n"

    assert patched("1\n2\n3\n4\n5\n6\n7\n", diff) == "1\n7\n3\n5\n6\n7\nx\n"


@pytest.mark.parametrize(
    ("old", "diff", "new"),
    [
        # Stripped empty lines of context, and empty lines after the diff.
        ("a\n\nb\n", "@@\n a\n\n-b\n+c\n\n\n", "a\n\nc\n"),
        # Carriage returns of the file, of the diff, and whitespace at the ends of context.
        ("a\r\nb\r\n", "@@\n a\n-b\n+c\n+d\n", "a\r\nc\r\nd\r\n"),
        ("a\nb\n", "@@\r\n a\r\n-b\r\n+c\r\n", "a\nc\n"),
        ("a \nb\n", "@@\n a\n-b\n+c\n", "a \nc\n"),
        # Without a word about the line feed at the end, the file's stays.
        ("a\nb", "@@\n a\n-b\n+c\n", "a\nc"),
        ("a", "@@\n a\n+b\n", "a\nb"),
        # With one, it counts, but only at the end.
        ("a\nb\n", f"@@\n a\n-b\n+c\n{ENDS_OPEN}", "a\nc"),
        ("a\nb", f"@@\n a\n-b\n{ENDS_OPEN}+b\n", "a\nb\n"),
        ("a\nb\n", f"@@\n-a\n+c\n{ENDS_OPEN}", "c\nb\n"),
        ("a\n", "@@\n-a\n", ""),
        ("", "@@\n+a\n", "a\n"),
    ],
)
def test_lines_meet_their_file_as_it_is(old: str, diff: str, new: str) -> None:
    assert patched(old, diff) == new
