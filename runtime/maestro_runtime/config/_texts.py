"""Values as text: what a flag or the environment may say, and what it means."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Number = TypeVar("Number", int, float)


class TextRule(NamedTuple):
    """How one setting is written."""

    text: str
    """What it must be, for the error."""
    read: Callable[[str], Any]
    """Returns the value; ValueError if the text breaks the rule."""


def a_count(most: int) -> TextRule:
    """Return the rule of an integer from 1 to `most`, its digits grouped by underscores or not."""

    def read(text: str) -> int:
        # int() alone would take " 5 ", "+5", digits of other scripts, and megabytes of zeros.
        if not re.fullmatch(r"[0-9][0-9_]{0,19}", text):
            raise ValueError(text)
        return _within(int(text.replace("_", "")), 1, most)

    return TextRule(f"an integer from 1 to {most}", read)


def seconds(most: int, *, zero: bool = False) -> TextRule:
    """Return the rule of a time; 0 is one only if `zero` says so."""
    if zero:
        return TextRule(f"a number from 0 to {most}", lambda text: _within(_number(text), 0, most))
    rule = f"a number above 0 and at most {most}"
    return TextRule(rule, lambda text: _within(_number(text), 1e-9, most))


def pauses(most: int) -> TextRule:
    """Return the rule of a list of times."""

    def read(text: str) -> tuple[float, ...]:
        return tuple(_within(_number(part.strip()), 0, most) for part in text.split(","))

    return TextRule(f"numbers from 0 to {most}, separated by commas", read)


def a_share() -> TextRule:
    """Return the rule of a number from 0 to 1."""
    return TextRule("a number from 0 to 1", lambda text: _within(_number(text), 0, 1))


def a_factor(most: int) -> TextRule:
    """Return the rule of a number from 1 to `most`."""
    return TextRule(f"a number from 1 to {most}", lambda text: _within(_number(text), 1, most))


def a_truth() -> TextRule:
    """Return the rule of a boolean, written as in TOML."""

    def read(text: str) -> bool:
        if text not in {"true", "false"}:
            raise ValueError(text)
        return text == "true"

    return TextRule("true or false", read)


def one_of(words: tuple[str, ...]) -> TextRule:
    """Return the rule of a word from a list."""
    return TextRule(f"one of {', '.join(words)}", unless(lambda text: text not in words))


def unless(is_wrong: Callable[[str], bool]) -> Callable[[str], str]:
    """Return what reads a text as it stands."""

    def read(text: str) -> str:
        if is_wrong(text):
            raise ValueError(text)
        return text

    return read


def _number(text: str) -> float:
    # float() alone would take "nan", "infinity", "1e9" and spaces.
    if not re.fullmatch(r"[0-9][0-9_]{0,19}(\.[0-9]{1,19})?", text):
        raise ValueError(text)
    return float(text)


def _within(value: Number, least: float, most: float) -> Number:
    if not least <= value <= most:
        raise ValueError(value)
    return value
