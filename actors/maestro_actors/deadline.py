"""Deadlines that are read back: instants on a wall clock that may have been set since."""


def in_reach(deadline_ms: int, now_ms: int, wait_ms: int) -> int:
    """Return when a recorded wait ends: at its deadline, or `wait_ms` from now if that is earlier.

    A deadline is an instant, so after the wall clock was set back it lies further ahead than its
    wait was long when it began, or could have been. By how much nobody knows, so the wait begins
    anew. With a clock that only went on, the deadline stays as it is.

    Args:
        deadline_ms: As it was recorded, milliseconds since the epoch.
        now_ms: Wall clock.
        wait_ms: The wait from its beginning, or the longest that it can have been.
    """
    return min(deadline_ms, now_ms + wait_ms)
