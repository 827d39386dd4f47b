"""What a session is to run before it stops; a part of its record."""

import msgspec


class Stretch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Phases that run without a stop in between."""

    phases: tuple[str, ...]
    stop: str = ""
    """What a person or an outer program does before the next stretch, in one line; empty: nothing
    in particular."""


Plan = tuple[Stretch, ...]
"""Stretches in their order, the first being the current one. Empty: everything that is left."""
