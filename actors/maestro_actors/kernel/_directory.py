"""Who lives where, and who wants to hear of whose end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from maestro_actors.kernel.errors import AddressTaken

if TYPE_CHECKING:
    from maestro_actors.kernel._mailbox import Mailbox


class Directory:
    """Mailboxes by address, in the order they were spawned. Any thread; every step is O(1)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mailboxes: dict[str, Mailbox] = {}
        # Without the lock: one look-up in a dict is atomic, and this is the way of each message.
        self.get: Final = self._mailboxes.get
        """Return the mailbox at an address, None if nobody lives there."""

    def add(self, mailbox: Mailbox) -> None:
        """Let `mailbox` be found under its address.

        Raises:
            AddressTaken: Another one is.
        """
        with self._lock:
            if mailbox.address in self._mailboxes:
                raise AddressTaken(mailbox.address)
            self._mailboxes[mailbox.address] = mailbox

    def all(self) -> list[Mailbox]:
        """Return all mailboxes, first spawned first."""
        with self._lock:
            return list(self._mailboxes.values())

    def newest(self) -> Mailbox | None:
        """Return the mailbox spawned last."""
        with self._lock:
            return next(reversed(self._mailboxes.values()), None)

    def watch(self, address: str, watcher: str, message: object) -> bool:
        """Note that `watcher` is to be sent `message` at the end of `address`.

        Returns:
            False, and nothing noted, if nobody lives at `address`. A watcher that does not live
            any more is not noted either.
        """
        with self._lock:
            watched = self._mailboxes.get(address)
            if watched is None:
                return False
            by = self._mailboxes.get(watcher)
            if by is not None:
                # The mailbox and not its address, where somebody else may live by then.
                others = [pair for pair in watched.watchers if self._lives(pair[0])]
                watched.watchers = (*others, (by, message))
            return True

    def remove(self, address: str) -> list[tuple[str, object]]:
        """Forget `address`; return who has to be sent which message now."""
        with self._lock:
            mailbox = self._mailboxes.pop(address, None)
            if mailbox is None:
                return []
            watchers, mailbox.watchers = mailbox.watchers, ()
            return [(by.address, message) for by, message in watchers if self._lives(by)]

    def _lives(self, mailbox: Mailbox) -> bool:
        return self._mailboxes.get(mailbox.address) is mailbox
