"""What a process is doing, for people who look for what is stuck."""

import sys
import threading
import traceback
from collections.abc import Iterator

from maestro_runtime.runtime import Runtime


def dump(runtime: Runtime | None) -> str:
    """Return actors with their mailboxes, and the stacks of all threads, as lines of text."""
    return "\n".join(["dump of this process", *_actors(runtime), *_threads()])


def _actors(runtime: Runtime | None) -> Iterator[str]:
    if runtime is None:
        return
    yield f"{runtime.system.queue_length} actors wait for a turn on their lane"
    for actor in runtime.system.dump_actors():
        doing = ""
        if actor.message_type is not None:
            doing = f", {actor.message_type} for {actor.turn_age_seconds:.3f} s"
        if actor.waiting_on is not None:
            doing += f", waits for {actor.waiting_on}"
        yield (
            f"actor {actor.address} ({actor.class_name}): {actor.state}, "
            f"{actor.queue_length} waiting, {actor.restarts} restarts{doing}"
        )


def _threads() -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for identity, frame in sys._current_frames().items():  # noqa: SLF001 - documented, see sys
        yield f"thread {names.get(identity, identity)}:"
        yield from (line.rstrip() for line in traceback.format_stack(frame))
