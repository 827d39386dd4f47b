import pytest

from maestro_actors.ledger.money import usd
from maestro_runtime.statements.money import cost_text, figure


@pytest.mark.parametrize(
    ("nano_usd", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (10_000_000, "0.01"),
        (1_500_000_000, "1.50"),
        (12_000_000_001, "12.000000001"),
        (-1_230_000_000, "-1.23"),
    ],
)
def test_money_is_exact_to_the_last_nano_dollar(nano_usd: int, text: str) -> None:
    assert usd(nano_usd) == text


def test_a_missing_price_is_named_and_never_zero() -> None:
    assert cost_text(None) == cost_text(None, 3) == "unpriced"
    assert cost_text(0) == "0.00"
    assert cost_text(2_000_000_000, 3) == "2.00 + 3 unpriced"


def test_figures_are_in_the_units_of_their_metric() -> None:
    assert figure(5, "requests") == "5"
    assert figure(500_000_000, "money", 1) == "0.50 + 1 unpriced"
