"""How often a process of the runtime's own looks for garbage."""

import gc
from typing import Final

YOUNG_OBJECTS_MAX: Final = 50_000
"""New objects after which the collector looks for circles among them; Python has it look at 700."""


def collect_seldom() -> None:
    """Have the garbage collector of this process look more seldom.

    Attempts leave it nothing to find, but while thousands are under way it looks at all that they
    consist of again and again: a tenth of all time. For processes that run nothing but a runtime;
    a program that embeds one decides for itself.
    """
    gc.set_threshold(YOUNG_OBJECTS_MAX, *gc.get_threshold()[1:])
