"""Foreign text, as it can be kept."""


def storable(text: str, characters_max: int) -> str:
    """Return a text shortened, with what cannot be encoded replaced."""
    return text[:characters_max].encode(errors="replace").decode()
