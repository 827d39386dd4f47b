"""Objects that must not be used in a child of the process that made them."""

import functools
import os
import weakref
from typing import Final, Protocol


class Abandonable(Protocol):
    """Something that can be left to the parent process."""

    def abandon(self) -> None:
        """Become unusable without touching what the parent still uses."""


_guarded: Final[weakref.WeakSet[Abandonable]] = weakref.WeakSet()


def guard(thing: Abandonable) -> None:
    """Have `thing` abandoned in every child that this process forks from now on."""
    _install()
    _guarded.add(thing)


@functools.cache
def _install() -> None:
    # On first use, not at import: a hook cannot be taken back.
    os.register_at_fork(after_in_child=_abandon_all)


def _abandon_all() -> None:
    for thing in list(_guarded):
        thing.abandon()
