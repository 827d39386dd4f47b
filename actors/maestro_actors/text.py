"""Foreign text, as it can be kept."""

from typing import Final

WHO_CHARACTERS_MAX: Final = 200
"""Longest name of who did something; a longer one is cut."""


def storable(text: str, characters_max: int) -> str:
    """Return a text shortened, with what cannot be encoded replaced."""
    return text[:characters_max].encode(errors="replace").decode()
