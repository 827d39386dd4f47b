"""Who waits for whom: finds deadlocks before they happen."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from maestro_actors.kernel.errors import DeadlockError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_actors.kernel._mailbox import Mailbox

# One lock for the whole graph: it is taken only by those about to wait, never on the way of a
# message, and an edge is worth nothing unless all of them are seen at the same instant.
_lock: Final = threading.Lock()


@contextmanager
def waiting(waiter: Mailbox | None, target: Mailbox | None) -> Iterator[None]:
    """Record that a handler of `waiter` waits for an answer of `target`.

    Raises:
        DeadlockError: `target` waits for `waiter`, directly or through others, or is `waiter`.
    """
    if waiter is None or target is None:
        yield
        return
    with _lock:
        circle = _circle(waiter, target)
        if circle is not None:
            raise DeadlockError(circle)
        waiter.waiting_on = target
    try:
        yield
    finally:
        waiter.waiting_on = None


def _circle(waiter: Mailbox, target: Mailbox) -> tuple[str, ...] | None:
    """Return the addresses on the way from `waiter` through `target` back, if there is one."""
    addresses = [waiter.address]
    node: Mailbox | None = target
    # An actor waits for one other at most and no edge was ever let in that closes a circle:
    # the walk ends.
    while node is not None:
        addresses.append(node.address)
        if node is waiter:
            return tuple(addresses)
        node = node.waiting_on
    return None
