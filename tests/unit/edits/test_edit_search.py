import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_runtime.edits._text import PLACES_MAX, replace_once
from maestro_runtime.edits.errors import Misfit

BLOCKS = st.lists(st.sampled_from([b"a", b"b", b"\n", b" ", b"\r\n", b"\xff"]), max_size=12).map(
    b"".join
)


def count_of(content: bytes, search: bytes) -> int:
    return sum(content.startswith(search, at) for at in range(len(content)))


@given(BLOCKS, BLOCKS.filter(bool), BLOCKS, BLOCKS)
def test_one_place_is_replaced_and_replacing_it_back_gives_the_file_again(
    head: bytes, search: bytes, replace: bytes, tail: bytes
) -> None:
    content = head + search + tail
    if count_of(content, search) > 1:
        with pytest.raises(Misfit, match="search must be found in one place"):
            replace_once(content, search, replace)
        return

    after = replace_once(content, search, replace)

    assert after == head + replace + tail
    if replace and count_of(after, replace) == 1:
        assert replace_once(after, replace, search) == content


@pytest.mark.parametrize(
    ("content", "search", "reason", "lines"),
    [
        (b"aXa\nb\na\n", b"a", "search must be found in one place, found in 3", (1, 1, 3)),
        (b"aaa", b"aa", "search must be found in one place, found in 2", (1, 1)),
        (b"a\n\na\n", b"c", "search must be found in one place, found in 0", ()),
        (
            b"def f():\n    x\n\n  def f():\n    y\n",
            b"def f():\n    z\n",
            (
                "search must be found in one place, found in 0; "
                "only its first line, indentation aside, is there"
            ),
            (1, 4),
        ),
        (b"a \nb\na\t\nb\n", b"a\nb\n", "search must be found in one place, found in 2", (1, 3)),
        (b"a\n \n", b"\t\n\n", "search must be found in one place, found in 0", ()),
        (
            b"x\n" * 500,
            b"x\n",
            f"search must be found in one place, found in at least {PLACES_MAX}",
            tuple(range(1, 11)),
        ),
        (b"a", b"", "search must not be empty", ()),
    ],
)
def test_what_is_not_there_exactly_once_is_refused_with_its_lines(
    content: bytes, search: bytes, reason: str, lines: tuple[int, ...]
) -> None:
    with pytest.raises(Misfit) as refusal:
        replace_once(content, search, b"new")

    assert (refusal.value.reason, refusal.value.lines) == (reason, lines)
    assert str(refusal.value) == reason


@pytest.mark.parametrize(
    ("content", "search", "replace", "after"),
    [
        # The file has carriage returns, the edit has not.
        (b"a\r\nb\r\nc\r\n", b"a\nb\n", b"a\nB\nX\n", b"a\r\nB\r\nX\r\nc\r\n"),
        # The edit has carriage returns, the file has not.
        (b"a\nb\nc\n", b"b\r\nc\r\n", b"B\r\nc\r\n", b"a\nB\nc\n"),
        # Lines that stay keep the whitespace at their ends.
        (b"a  \nb \nc\t\nd\n", b"a\nb\nc\n", b"a\nB\nc\n", b"a  \nB\nc\t\nd\n"),
        # Whole lines are replaced by whole lines, line feed or not.
        (b"a \nb\nc\n", b"a\nb", b"x", b"x\nc\n"),
        (b"a \nb\nc\n", b"a\nb", b"", b"c\n"),
        # The file ends without a line feed, and goes on doing so.
        (b"x\na\nb", b"a\nb\n", b"a\nc\nd\n", b"x\na\nc\nd"),
        (b"x\na ", b"x\na\n", b"x\na\nb\n", b"x\na \nb"),
    ],
)
def test_lines_are_found_without_the_whitespace_at_their_ends(
    content: bytes, search: bytes, replace: bytes, after: bytes
) -> None:
    assert replace_once(content, search, replace) == after


def test_a_place_that_fits_exactly_goes_before_one_that_fits_nearly() -> None:
    assert replace_once(b"a \na\n", b"\na\n", b"\nb\n") == b"a \nb\n"
