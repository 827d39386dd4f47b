"""What a handler returns that answers later."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_actors.kernel._future import LaneFuture


class Later:
    """An answer that a future will bring; other messages are handled meanwhile.

    Who asks gets the value of the future, or what it raises; nobody else may. An actor that stops
    owes it all the same: whoever resolves the future answers.
    """

    __slots__ = ("_found", "_future")

    def __init__(self, future: LaneFuture[Any], found: Callable[[Any], Any]) -> None:
        """Answer with what `found`, which must not block, makes of the value of `future`."""
        self._future = future
        self._found = found

    def answer(self, reply: LaneFuture[Any]) -> None:
        """Answer an ask once it can be."""
        self._future.add_done_callback(lambda future: self._pass_on(future, reply))

    def _pass_on(self, future: LaneFuture[Any], reply: LaneFuture[Any]) -> None:
        try:
            answer = self._found(future.get(timeout=0))
        except BaseException:  # noqa: BLE001 - it is for who asks
            reply.set_exception(sys.exc_info())
        else:
            reply.set(answer)
