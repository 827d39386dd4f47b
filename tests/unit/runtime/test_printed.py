"""What functions print is told without secrets, in whatever pieces it is written."""

import errno
import io
import logging
import os
import sys
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maestro_runtime.cli._printed import LINE_BYTES_MAX, printed
from maestro_runtime.redaction import MASK, Redactor

SECRET = "a-secret-of-some-length"
LONG = "x" * (LINE_BYTES_MAX - 7)

REDACTOR = Redactor([SECRET, "length-of-another", "ünïcode-sécret"])


def told(redactor: Redactor, *writes: bytes) -> list[str]:
    lines: list[str] = []
    with printed(lambda line: lines.append(redactor.clean(line)), redactor):
        for data in writes:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    return lines


@pytest.fixture(autouse=True)
def _with_a_descriptor(capfd: pytest.CaptureFixture[str]) -> None:
    """Give stdout the descriptor that a command's has."""


@pytest.mark.parametrize("before", range(LINE_BYTES_MAX - len(SECRET) - 2, LINE_BYTES_MAX + 3))
def test_a_secret_that_lies_across_the_end_of_a_piece_is_not_cut_in_two(before: int) -> None:
    line = "x" * before + SECRET + "y" * LINE_BYTES_MAX

    pieces = told(REDACTOR, line.encode())

    assert "".join(pieces) == line.replace(SECRET, MASK)
    assert len(pieces) > 1


def test_a_secret_that_is_longer_than_a_piece_is_found() -> None:
    secret = "0123456789-" * 1_000
    redactor = Redactor([secret])

    pieces = told(redactor, ("x" * 100 + secret + "y" * 5 * redactor.reach_bytes).encode())

    assert "".join(pieces).strip("xy") == MASK


def test_characters_are_not_cut_in_two_either() -> None:
    line = "x" + "ü" * LINE_BYTES_MAX

    assert "".join(told(REDACTOR, line.encode())) == line


def test_secrets_that_overlap_without_a_gap_do_not_hold_back_the_line_for_ever() -> None:
    redactor = Redactor(["aaaa"])

    pieces = told(redactor, b"a" * 4 * LINE_BYTES_MAX)

    assert len(pieces) == 4
    assert "aaaa" not in "".join(pieces)


_WORDS = st.sampled_from(
    [SECRET, "length-of-another", "ünïcode-sécret", "\n", "é", " and ", LONG, "a-secret-", "x" * 9]
)


@given(st.lists(_WORDS, max_size=8).map("".join), st.lists(st.integers(0, 40_000), max_size=6))
@example(LONG + SECRET + LONG + LONG, [LINE_BYTES_MAX + 3])
@example(LONG + "a-secret-of-some-length-of-another" + LONG, [LINE_BYTES_MAX, LINE_BYTES_MAX + 9])
def test_the_same_is_told_in_whatever_pieces_it_is_written(text: str, places: list[int]) -> None:
    data = text.encode()
    cuts = [0, *sorted(min(place, len(data)) for place in places), len(data)]

    whole = told(REDACTOR, data)

    assert told(REDACTOR, *(data[begin:end] for begin, end in pairwise(cuts))) == whole
    assert not any(secret in "".join(whole) for secret in (SECRET, "ünïcode-sécret"))


def test_what_is_written_to_stderr_goes_there_without_secrets(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with printed(print, REDACTOR):
        sys.stderr.write(f"begun {SECRET} and")
        sys.stderr.write(" ended\nwithout end")

    assert capfd.readouterr().err == f"begun {MASK} and ended\nwithout end\n"


class _Full(io.StringIO):
    """A log on a disk that is full."""

    def write(self, _text: str, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_cannot_be_logged_is_complained_of_without_secrets(
    capfd: pytest.CaptureFixture[str],
) -> None:
    handler = logging.StreamHandler(_Full())

    with printed(print, REDACTOR):
        handler.handle(logging.makeLogRecord({"msg": "key %s", "args": (SECRET,)}))

    told = capfd.readouterr().err
    assert "No space left on device" in told
    assert f"Arguments: ('{MASK}',)" in told
    assert SECRET not in told
