"""The journal as the actors see it: their lane writes, before it rests."""

from typing import Final

from maestro_actors.kernel import AsyncLane
from maestro_storage import Journal
from maestro_storage.transition import Transition

SLICES_MAX: Final = 10
"""After so many slices without a rest the writer thread is woken: nothing lies for more than some
50 ms."""


class LaneJournal:
    """Hands transitions in, and lends the thread of the lane to the journal before that rests.

    An attempt alone would pass from the lane to the writer thread and back twice, and each time
    wake a thread that waits. Of many at once the two threads would take the interpreter from each
    other; so the lane first ends its turns, and then writes all that came of them.
    """

    def __init__(self, journal: Journal, lane: AsyncLane) -> None:
        self._journal: Final = journal
        self._lane: Final = lane
        self._slices = 0
        """That have ended since something lies in the journal; only touched on the lane."""

    def append(self, transition: Transition) -> None:
        """Hand in a transition; any thread. See `Journal.append`."""
        journal = self._journal
        lends = journal.is_quick and self._lane.before_rest(self._go_on, slow=True)
        journal.append(transition, wake=not lends)

    def _go_on(self) -> None:
        """Write what lies in the journal, or first give others their turn."""
        if not self._lane.queue_length:
            self._slices = 0
            self._journal.write_here()
        elif self._slices < SLICES_MAX:
            self._slices += 1
            self._lane.before_rest(self._go_on, slow=True)
        else:
            self._slices = 0
            self._journal.wake()
