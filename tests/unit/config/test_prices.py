from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_actors.engine import Usage
from maestro_actors.errors import UsageInvalid
from maestro_actors.ledger.amounts import used
from maestro_actors.ledger.budget import DAY_MS
from maestro_actors.ledger.errors import PriceTableInvalid
from maestro_actors.ledger.prices import PriceBook, RateCard, cost_at_most, cost_of
from maestro_runtime.prices import own_prices, parse_prices

CARD = RateCard(input=3, output=15, cache_read=1, cache_write=4, reasoning=15)

TABLE = """
[models."m-1"]
input = 2.50
output = 10
cache_read = 0.000000001
"""


def test_a_table_in_usd_becomes_whole_nano_usd() -> None:
    assert parse_prices(TABLE) == {
        "m-1": RateCard(
            input=2_500_000_000,
            output=10_000_000_000,
            cache_read=1,
            cache_write=2_500_000_000,
            reasoning=10_000_000_000,
        )
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = [", "price table: the file must be TOML"),
        ("model = 1", "price table: the file must have only the table 'models', got ['model']"),
        (
            "[models.m]\ninput = 1",
            (
                "price table: models.m must have input and output, and may have cache_read, "
                "cache_write, reasoning, got {'input': 1}"
            ),
        ),
        (
            "[models.m]\ninput = true\noutput = 1",
            "price table: models.m.input must be a number of USD per million tokens, got True",
        ),
        (
            "[models.m]\ninput = -1\noutput = 1",
            "price table: models.m.input must be from 0 to 1000000, got '-1'",
        ),
        (
            "[models.m]\ninput = nan\noutput = 1",
            "price table: models.m.input must be from 0 to 1000000, got 'NaN'",
        ),
        (
            "[models.m]\ninput = 0.0000000001\noutput = 1",
            "price table: models.m.input must have at most 9 decimals, got '1E-10'",
        ),
    ],
)
def test_a_broken_price_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(PriceTableInvalid) as raised:
        parse_prices(text)

    assert str(raised.value).startswith(message)


def test_cached_tokens_are_billed_once() -> None:
    usage = Usage(input_tokens=10_000_000, cache_read_tokens=9_000_000, cache_write_tokens=500_000)

    assert cost_of(usage, CARD) == 13  # 1.5 + 9 + 2 = 12.5


def test_a_price_is_rounded_half_up_once() -> None:
    half = RateCard(input=500_000, output=0, cache_read=0, cache_write=0, reasoning=0)

    assert cost_of(Usage(input_tokens=1), half) == 1
    assert cost_of(Usage(input_tokens=1), half._replace(input=499_999)) == 0


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_no_call_costs_more_than_the_dearest_it_could_be(input_: int, output: int) -> None:
    usage = Usage(input_tokens=input_, output_tokens=output)

    assert cost_of(usage, CARD) <= cost_at_most(usage.total, CARD)


def test_a_book_asks_its_list_once_a_day_and_its_own_table_wins() -> None:
    asked: list[tuple[str, int]] = []

    def listed(model: str, at_ms: int) -> RateCard | None:
        asked.append((model, at_ms))
        return CARD if model == "m-2" else None

    book = PriceBook(parse_prices(TABLE), listed)

    assert book.card("m-1", 0) == parse_prices(TABLE)["m-1"]
    assert [book.card("m-2", at_ms) for at_ms in (0, 1, DAY_MS)] == [CARD] * 3
    assert [book.card("m-3", at_ms) for at_ms in (DAY_MS, DAY_MS + 1)] == [None, None]
    assert asked == [("m-2", 0), ("m-2", DAY_MS), ("m-3", DAY_MS)]


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ({"input_tokens": -1}, "input_tokens must be an integer of at least 0, got -1"),
        ({"output_tokens": 1.0}, "output_tokens must be an integer of at least 0, got 1.0"),
        ({"requests": True}, "requests must be an integer of at least 0, got True"),
        (
            {"input_tokens": 5, "cache_read_tokens": 4, "cache_write_tokens": 2},
            "input_tokens must have the cached 6 tokens in it, got 5",
        ),
        (
            {"output_tokens": 5, "reasoning_tokens": 6},
            "output_tokens must have the 6 reasoning tokens in it, got 5",
        ),
    ],
)
def test_usage_that_cannot_be_is_refused(figures: dict[str, int], text: str) -> None:
    with pytest.raises(UsageInvalid) as raised:
        Usage(**figures).check()  # type: ignore[arg-type]

    assert str(raised.value) == text


def test_fresh_tokens_are_those_that_no_cache_had() -> None:
    usage = Usage(
        input_tokens=100,
        cache_read_tokens=70,
        cache_write_tokens=20,
        output_tokens=10,
        reasoning_tokens=4,
        requests=3,
    )

    assert used(usage, 5) == (110, 40, 10, 3, 5)


def test_a_table_of_the_state_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").mkdir()

    with pytest.raises(PriceTableInvalid, match=r"prices\.toml must be a readable text file"):
        own_prices(tmp_path)


def test_a_state_directory_that_cannot_be_looked_into_has_no_prices_yet() -> None:
    assert own_prices(Path("x" * 300)) == {}
