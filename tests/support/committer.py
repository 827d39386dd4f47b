"""Who makes the commits of a run, said beforehand: how quick the disk is would decide otherwise."""

import math
from typing import Final, Literal

from maestro_storage import _journal

Committer = Literal["disk", "lane", "thread"]
"""lane: the lane of the actors, whenever it may; thread: the writer thread, always; disk: the one
or the other, as the disk is quick or slow."""
COMMITTERS: Final[tuple[Committer, ...]] = ("disk", "lane", "thread")

_QUICK_SECONDS: Final = {"disk": _journal.QUICK_SECONDS, "lane": math.inf, "thread": -1.0}


def appoint(committer: Committer) -> None:
    """Let it make the commits of this process from now on, but for the first."""
    vars(_journal)["QUICK_SECONDS"] = _QUICK_SECONDS[committer]
