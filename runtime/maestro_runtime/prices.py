"""Where prices come from: an own TOML table, and the public list of `genai-prices` behind it."""

import datetime as dt
import importlib
import importlib.util
import math
import os
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Final

from maestro_actors.ledger.errors import PriceTableInvalid
from maestro_actors.ledger.money import NANO_PER_USD
from maestro_actors.ledger.prices import TOKENS_PER_RATE, PriceBook, RateCard

PRICES_NAME: Final = "prices.toml"
"""The table of a state directory."""

_RATES: Final = ("input", "output", "cache_read", "cache_write", "reasoning")
_RATE_USD_MAX: Final = 1_000_000
_SAMPLE_TOKENS: Final = 1_000
"""Priced to learn a rate: few enough to stay in the first tier of every model."""


def open_prices(state_dir: Path, named: Path | None = None) -> PriceBook:
    """Return the prices of the own table, and of the public list, if it is installed.

    Raises:
        PriceTableInvalid: As `own_prices`.
    """
    listed = importlib.util.find_spec("genai_prices") is not None
    return PriceBook(own_prices(state_dir, named), _listed_card if listed else None)


def own_prices(state_dir: Path, named: Path | None = None) -> dict[str, RateCard]:
    """Return the cards of the table that is named; else of that in the state directory, if any.

    Raises:
        PriceTableInvalid: The table breaks its rules, or cannot be read.
    """
    path = named or state_dir / PRICES_NAME
    # Unlike that of a path, it is False for a directory that cannot be looked into: who opens the
    # state says why.
    if named is None and not os.path.exists(path):  # noqa: PTH110 - see above
        return {}
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise PriceTableInvalid(str(path), "must be a readable text file", str(error)) from error
    return parse_prices(text)


def parse_prices(text: str) -> dict[str, RateCard]:
    """Return the cards of a price table, by model.

    A table holds USD per million tokens: `[models."gpt-x"]`, then `input`, `output`, and where
    they differ `cache_read`, `cache_write` (default: `input`) and `reasoning` (default: `output`).

    Raises:
        PriceTableInvalid: The text is not such a table.
    """
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise PriceTableInvalid("the file", "must be TOML", str(error)) from error
    models = content.pop("models", {})
    if content or not isinstance(models, dict):
        raise PriceTableInvalid("the file", "must have only the table 'models'", list(content))
    return {model: _card(model, rates) for model, rates in models.items()}


def _card(model: str, rates: object) -> RateCard:
    """Return one table of rates as a card."""
    place = f"models.{model}"
    if not isinstance(rates, dict) or not {"input", "output"} <= set(rates) <= set(_RATES):
        rule = f"must have input and output, and may have {', '.join(_RATES[2:])}"
        raise PriceTableInvalid(place, rule, rates)
    whole = {name: _nano(f"{place}.{name}", rate) for name, rate in rates.items()}
    return RateCard(
        input=whole["input"],
        output=whole["output"],
        cache_read=whole.get("cache_read", whole["input"]),
        cache_write=whole.get("cache_write", whole["input"]),
        reasoning=whole.get("reasoning", whole["output"]),
    )


def _nano(place: str, rate: object) -> int:
    """Return USD as nano-USD."""
    if isinstance(rate, bool) or not isinstance(rate, int | Decimal):
        raise PriceTableInvalid(place, "must be a number of USD per million tokens", rate)
    # Not a number is in no range, but comparing it would raise.
    if not math.isfinite(rate) or not 0 <= rate <= _RATE_USD_MAX:
        raise PriceTableInvalid(place, f"must be from 0 to {_RATE_USD_MAX}", str(rate))
    nano = rate * NANO_PER_USD
    if nano != int(nano):
        raise PriceTableInvalid(place, "must have at most 9 decimals", str(rate))
    return int(nano)


def _listed_card(model: str, at_ms: int) -> RateCard | None:
    """Return the card of the public list, by the prices of that instant."""
    # By name: the package is optional, weighs 40 MB, and is not there for the type checker.
    prices = importlib.import_module("genai_prices")
    at = dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)

    def rate(**bucket: int) -> int:
        """Price one bucket in nano-USD for a million tokens."""
        price = prices.calc_price(
            prices.Usage(**bucket), model_ref=model, genai_request_timestamp=at
        )
        return int(price.total_price * NANO_PER_USD * TOKENS_PER_RATE / _SAMPLE_TOKENS)

    try:
        output = rate(output_tokens=_SAMPLE_TOKENS)
        return RateCard(
            input=rate(input_tokens=_SAMPLE_TOKENS),
            output=output,
            cache_read=rate(input_tokens=_SAMPLE_TOKENS, cache_read_tokens=_SAMPLE_TOKENS),
            cache_write=rate(input_tokens=_SAMPLE_TOKENS, cache_write_tokens=_SAMPLE_TOKENS),
            reasoning=output,
            basis="list",
        )
    except LookupError:
        return None
