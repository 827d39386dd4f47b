"""The daybook of the accountant: what it has decided and not handed in to the journal yet."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from maestro_actors.ledger.counter import Counter
from maestro_actors.ledger.rows import row_of
from maestro_actors.ports import Ports
from maestro_storage.transition import Transition

if TYPE_CHECKING:
    from maestro_storage.bookings import CounterKey

DRAFTS_MAX: Final = 64
"""Drafts that are handed in together; as many messages as a turn takes."""

PAYLOAD_BYTES_MAX: Final = 1 << 20
"""Of drafts that are handed in together, beside one that has more by itself."""


class Daybook:
    """Makes one transition of the drafts of calls that wait at the same time. One thread.

    A counter that all of them move is then one row, and the journal is asked once: at a thousand
    calls at once that was a third of what they cost. Counters and drafts become durable together,
    so a counter is never ahead of the calls on record, nor behind them.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._drafts: list[Transition] = []
        self._moved: dict[CounterKey, Counter] = {}
        """By the drafts; their rows are made when these are handed in."""
        self._at_ms = 0
        self._payload_bytes = 0
        self._lets_go = False

    def __len__(self) -> int:
        """Return how many drafts are not handed in."""
        return len(self._drafts)

    @property
    def is_full(self) -> bool:
        """Whether it has to be handed in before another draft is entered."""
        return (
            len(self._drafts) >= DRAFTS_MAX
            or self._payload_bytes > PAYLOAD_BYTES_MAX
            # A transition first keeps payloads and then lets go, whichever draft said it first.
            or self._lets_go
        )

    def enter(self, draft: Transition, counters: Iterable[Counter], at_ms: int) -> None:
        """Take over a draft, and the counters it has moved at an instant."""
        self._drafts.append(draft)
        for counter in counters:
            self._moved[counter.key] = counter
            self._at_ms = at_ms
        for payload in draft.payloads:
            self._payload_bytes += len(payload.content)
        if draft.releases:
            self._lets_go = True

    def hand_in(self) -> None:
        """Append all that was entered to the journal, as one transition."""
        if not self._drafts:
            return
        joint, *others = self._drafts
        for draft in others:
            joint.join(draft)
        for counter in self._moved.values():
            joint.put(row_of(counter, self._at_ms, self._ports.epoch))
        self._drafts.clear()
        self._moved.clear()
        self._payload_bytes = 0
        self._lets_go = False
        self._ports.journal.append(joint)
