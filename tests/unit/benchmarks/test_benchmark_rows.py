from pathlib import Path

import pytest

from measure import Options, compare, interleaved
from plot import Bar, bars
from row import Row, Target


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("at least", 2.0), True),
        (Target("at least", 2.1), False),
        (Target("at most", 2.0), True),
        (Target("at most", 1.9), False),
        (Target("at most", 5.0, "difference"), True),
        (Target("at most", 4.9, "difference"), False),
        (Target("at most", 10.0, "figure"), True),
        (Target("at most", 9.9, "figure"), False),
    ],
)
def test_a_target_is_held_against_ratio_difference_or_figure(target: Target, met: bool) -> None:
    row = Row(question="q", unit="u", ours=[10.0], beside="peer", theirs=[5.0], target=target)

    assert row.met is met


def test_a_ratio_is_taken_within_each_round() -> None:
    # The disk was slow in the second round, for both, and in the third for the peer alone.
    row = Row(question="q", unit="u", ours=[100, 10, 30], beside="peer", theirs=[50, 5, 10])

    assert row.figure / (row.peer_figure or 0) == 3.0
    assert row.ratio == 2.0


def test_a_peer_that_is_absent_has_neither_figure_nor_verdict() -> None:
    row = Row(question="q", unit="u", ours=[1.0], beside="peer", target=Target("at least", 1))

    assert row.absent
    assert (row.peer_figure, row.ratio, row.met) == (None, None, None)


def test_each_contestant_goes_first_in_turn_and_the_first_round_is_not_counted() -> None:
    ran: list[str] = []

    def run(name: str) -> int:
        ran.append(name)
        return len(ran)

    samples = interleaved(3, {name: lambda name=name: run(name) for name in "abc"})  # type: ignore[misc] # mypy sees no type in a default

    assert "".join(ran) == "abcbcacababc"
    assert samples == {"a": [6, 8, 10], "b": [4, 9, 11], "c": [5, 7, 12]}


def test_a_question_without_a_peer_still_has_a_row(tmp_path: Path) -> None:
    (row,) = compare(Options(tmp_path), "q", "u", {"ours": lambda: 1.0})

    assert (row.ours, row.beside, row.absent) == ([1.0] * 5, "", False)


def test_a_missing_peer_is_none_and_an_unwanted_one_too(tmp_path: Path) -> None:
    assert Options(tmp_path).peer("no_such_module") is None
    assert Options(tmp_path, with_peers=False).peer("json") is None
    assert Options(tmp_path).peer("json") is not None


def test_a_plot_escapes_its_labels_and_shows_every_figure() -> None:
    svg = bars("1/s", [Bar("a < b", 1_000, is_ours=True), Bar("peer", 10, is_ours=False)])

    assert "a &lt; b" in svg
    assert svg.count("<rect") == 2
    assert "1,000" in svg
