"""Labels: what may be one, and how a text says it."""

import pytest

from maestro_runtime.errors import LabelInvalid
from maestro_runtime.labels import LABELS_MAX, checked_labels, read_labels, read_wanted_label


def test_labels_are_read_from_texts_and_sorted_by_key() -> None:
    assert list(read_labels(("team=payments", "a/b=x=y", "empty=")).items()) == [
        ("a/b", "x=y"),
        ("empty", ""),
        ("team", "payments"),
    ]


def test_as_many_labels_as_allowed_are_taken_and_no_more() -> None:
    labels = {f"k{number}": "" for number in range(LABELS_MAX)}

    assert len(checked_labels(labels)) == LABELS_MAX
    with pytest.raises(LabelInvalid, match="labels must be at most 16, got '17'"):
        checked_labels({**labels, "one-more": ""})


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("team", r"must be KEY=VALUE, got 'team'"),
        ("=x", r"must have a key that matches .*, got ''"),
        ("-a=x", r"must have a key that matches .*, got '-a'"),
        (f"{'k' * 64}=x", r"must have a key that matches"),
        ("a=x\ny", r"must have a printable value of at most 128 characters, got 'a=x\\ny'"),
        (f"a={'x' * 129}", r"must have a printable value"),
    ],
)
def test_a_text_that_is_no_label_is_refused(text: str, rule: str) -> None:
    with pytest.raises(LabelInvalid, match=rule):
        read_labels((text,))


def test_a_key_that_is_given_twice_is_refused() -> None:
    with pytest.raises(LabelInvalid, match="must have a key of its own, got 'a=2'"):
        read_labels(("a=1", "a=2"))


def test_a_label_that_is_looked_for_may_have_any_value() -> None:
    assert read_wanted_label("team") == ("team", None)
    assert read_wanted_label("team=") == ("team", "")
    assert read_wanted_label("a/b=x=y") == ("a/b", "x=y")


@pytest.mark.parametrize("text", ["", "=", "=x", "a b", "a=\n", "a=" + "x" * 129])
def test_a_label_that_no_session_can_have_is_not_looked_for(text: str) -> None:
    with pytest.raises(LabelInvalid, match="labels must have a"):
        read_wanted_label(text)
