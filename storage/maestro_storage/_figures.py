"""What the journal has done so far, counted once for each batch."""

from bisect import bisect_left
from typing import ClassVar


class JournalFigures:
    """Sums and distributions. Written by who writes the batches, read by any: a glance."""

    COMMIT_SECONDS: ClassVar[tuple[float, ...]] = (
        *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
        *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
    )
    """Upper ends of the buckets for the time that a batch takes."""
    BATCH_TRANSITIONS: ClassVar[tuple[int, ...]] = (1, 2, 5, 10, 20, 50, 100, 200, 500)
    """Upper ends of the buckets for the transitions of a batch."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Spent on batches that became durable."""
        self.transitions = 0
        """Made durable, with other work such as removals."""
        self.commits_by_seconds = [0] * (len(self.COMMIT_SECONDS) + 1)
        """Batches in each bucket of `COMMIT_SECONDS`, and last those above."""
        self.commits_by_transitions = [0] * (len(self.BATCH_TRANSITIONS) + 1)
        """The same by `BATCH_TRANSITIONS`."""

    def note(self, transitions: int, seconds: float) -> None:
        """Count a batch that has become durable."""
        self.seconds += seconds
        self.transitions += transitions
        self.commits_by_seconds[bisect_left(self.COMMIT_SECONDS, seconds)] += 1
        self.commits_by_transitions[bisect_left(self.BATCH_TRANSITIONS, transitions)] += 1
