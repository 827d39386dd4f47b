"""The journal as the actors see it: their lane writes, while it has nothing else to do."""

from typing import Final

from maestro_actors.kernel import AsyncLane
from maestro_storage import Journal
from maestro_storage.transition import Transition


class LaneJournal:
    """Hands transitions in, and lends the thread of the lane to the journal before that rests.

    An attempt alone would pass from the lane to the writer thread and back twice, and each time
    wake a thread that waits. A lane that would only wait for the commit does it itself.
    """

    def __init__(self, journal: Journal, lane: AsyncLane) -> None:
        self._journal: Final = journal
        self._lane: Final = lane
        self._write: Final = journal.write_here

    def append(self, transition: Transition) -> None:
        """Hand in a transition; any thread. See `Journal.append`."""
        # While somebody waits for a turn the thread is the better one: both can work.
        lends = not self._lane.queue_length and self._lane.before_rest(self._write)
        self._journal.append(transition, wake=not lends)
