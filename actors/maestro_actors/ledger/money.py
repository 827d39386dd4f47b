"""Amounts of money: whole nano-USD (1e-9 USD), said in USD."""

from typing import Final

NANO_PER_USD: Final = 1_000_000_000


def usd(nano_usd: int) -> str:
    """Return an amount of nano-USD in USD: exact, with at least two decimals."""
    whole, rest = divmod(abs(nano_usd), NANO_PER_USD)
    decimals = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano_usd < 0 else ''}{whole}.{decimals}"
