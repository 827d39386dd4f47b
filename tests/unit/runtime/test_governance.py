from pathlib import Path

import pytest

from maestro_actors.ledger.errors import PriceTableInvalid
from maestro_actors.ledger.prices import PriceBook, RateCard
from maestro_runtime import RuntimeOptions, RuntimePolicy, open_runtime

CHEAP = RateCard(input=1, output=1, cache_read=1, cache_write=1, reasoning=1)
DEAR = RateCard(input=9, output=9, cache_read=9, cache_write=9, reasoning=9)


def test_a_call_is_priced_by_the_table_that_was_in_force_when_it_began() -> None:
    book = PriceBook({"m": CHEAP, "same": CHEAP})

    assert book.replace({"m": DEAR, "same": CHEAP}, since_ms=100) == 1
    assert book.replace({"same": CHEAP}, since_ms=200) == 1

    assert [book.card("m", at_ms) for at_ms in (99, 100, 199, 200)] == [CHEAP, DEAR, DEAR, None]


def test_only_some_older_tables_are_kept_and_the_oldest_stands_for_those_before() -> None:
    book = PriceBook({})

    for at_ms in range(1, 101):
        book.replace({"m": CHEAP._replace(input=at_ms)}, since_ms=at_ms)

    kept = book.card("m", 0)
    assert kept is not None
    assert kept.input == 100 - 15


def test_a_policy_is_taken_live_and_says_what_has_changed(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    with open_runtime(tmp_path / "state", RuntimeOptions()) as runtime:
        assert runtime.govern(RuntimePolicy()) == ()
        prices.write_text('[models."m"]\ninput = 1\noutput = 2\n')

        changes = runtime.govern(RuntimePolicy(sessions_running=3, prices=prices))

        assert changes == (
            f"prices: none -> {prices}",
            "limits.sessions_running: none -> 3",
            "prices: 1 model(s) have changed",
        )
        assert runtime.policy == RuntimePolicy(sessions_running=3, prices=prices)


def test_a_policy_whose_prices_are_none_changes_nothing(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state", RuntimeOptions()) as runtime:
        with pytest.raises(PriceTableInvalid, match=r"must be a readable text file"):
            runtime.govern(RuntimePolicy(sessions_running=3, prices=tmp_path / "none.toml"))

        assert runtime.policy == RuntimePolicy()
