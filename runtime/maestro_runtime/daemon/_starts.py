"""Which starts of a daemon came to no end in order: told durably, and counted."""

from collections.abc import Sequence
from typing import Final

import msgspec

from maestro_storage import Records, Store
from maestro_storage.records import ValueRecord
from maestro_storage.transition import Transition

UNCLEAN_MAX: Final = 3
"""Starts without an end in order after which nothing runs any more by itself."""

WINDOW_MS: Final = 10 * 60 * 1000
"""How long such a start counts."""

NAME: Final = "maestro.daemon.starts"
"""Of the value that keeps them."""

_decode: Final = msgspec.json.Decoder(tuple[int, ...]).decode


def unclean(records: Records, now_ms: int) -> tuple[int, ...]:
    """Return when starts began that have not ended in order, oldest first; ms since the epoch.

    The last one is that of the daemon that runs, if one does. A clock that was set to and fro
    counts as far as it is off.
    """
    record = records.values.get(NAME)
    begun = () if record is None else _decode(record.value)
    return tuple(at_ms for at_ms in begun if abs(now_ms - at_ms) <= WINDOW_MS)


class Starts:
    """Notes the start of one daemon, and its end."""

    def __init__(self, store: Store, now_ms: int) -> None:
        """Note that a start begins; durable on return."""
        self._store: Final = store
        self._now_ms: Final = now_ms
        self.unclean: Final = unclean(store, now_ms)
        """Those before, as `unclean`."""
        self._write((*self.unclean, now_ms))

    @property
    def too_many(self) -> bool:
        """Whether this one had better run nothing."""
        return len(self.unclean) >= UNCLEAN_MAX

    def forgive(self) -> None:
        """Forget those before; durable on return."""
        self._write((self._now_ms,))

    def end(self) -> None:
        """Note that all came to an end in order; durable on return."""
        self._write(())

    def take_back(self) -> None:
        """Note that this one has not begun after all; durable on return."""
        self._write(self.unclean)

    def _write(self, begun: Sequence[int]) -> None:
        store = self._store
        value = msgspec.json.encode(begun)
        draft = Transition()
        draft.put(ValueRecord(name=NAME, value=value, updated_ms=self._now_ms, epoch=store.epoch))
        store.journal.commit(draft).result()
