"""How often a process that is there for a runtime looks for garbage."""

import gc
from typing import Final

YOUNG_OBJECTS_MAX: Final = 50_000
"""New objects after which the collector looks for circles among them; Python has it look at 700."""


def collect_seldom() -> None:
    """Have the garbage collector of this process look more seldom.

    Attempts leave it nothing to find, but while thousands are under way it looks at all that they
    consist of again and again: a tenth of all time. `run` and `serve` call this. It holds for the
    whole process, so a program that embeds a runtime decides for itself: what of its own lies in
    circles is freed later. May be called again; `gc.set_threshold` takes it back.
    """
    gc.set_threshold(YOUNG_OBJECTS_MAX, *gc.get_threshold()[1:])
