"""Sessions that are being opened: handed to the journal, and not durable yet."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

from maestro_actors.kernel import LaneFuture

if TYPE_CHECKING:
    from maestro_runtime.session import Session


class Opening:
    """A session on its way: it runs once that is durable, and somebody has seen to it."""

    def __init__(
        self,
        names: Sequence[str],
        durable: Future[None],
        begin: Callable[[], "Session"],
        openings: "Openings",
    ) -> None:
        """Made by `Openings.add`."""
        self.names = names
        self._durable = durable
        self._begin = begin
        self._openings = openings
        self.session: LaneFuture[Session] = LaneFuture()
        """Resolved once it has been seen to."""

    def when_durable(self, call: Callable[[], object]) -> None:
        """Have a function called once it is durable, or never will be; it must not block."""
        self._durable.add_done_callback(lambda _: call())

    def see_to(self) -> None:
        """Wait until the session is durable, and have it run, unless somebody has done so."""
        # Not under the lock: what is handed in meanwhile shares the commit.
        self._durable.exception()
        self._openings.finish(self)

    def result(self) -> "Session":
        """See to the session and return it; durable on return.

        Raises:
            StorageError: It could not be written.
            RuntimeDraining, RuntimeStopped: It was, and the runtime comes to its end.
        """
        self.see_to()
        session: Session = self.session.get()
        return session

    def finish(self) -> None:
        """Do so once; used by `Openings`, under the lock."""
        if self.session.is_done:
            return
        try:
            self._durable.result()
            session = self._begin()
        except Exception:  # noqa: BLE001 - whoever has opened it hears of it
            self.session.set_exception()
        else:
            self.session.set(session)


class Openings:
    """The lock of whoever looks up sessions to start or change them. Any thread.

    Who opens a new one gives the lock back when that is handed in, before it is durable. Whoever
    might need to see it sees to it first, so nobody waits for a thread that waits for him.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Opening] = {}
        """By each name: the session's id, and what else it may be looked up by."""

    def __enter__(self) -> None:
        """Take the lock, with no session under way."""
        self._lock.acquire()
        try:
            self._finish(list(self._under_way.values()))
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextmanager
    def of(self, *names: str) -> Iterator[None]:
        """Take the lock, with none under way that has one of some names."""
        with self._lock:
            self._finish([self._under_way[name] for name in names if name in self._under_way])
            yield

    def add(
        self, names: Sequence[str], durable: Future[None], begin: Callable[[], "Session"]
    ) -> Opening:
        """Note a session that has been handed in. Under the lock.

        Args:
            names: What it may be looked up by, the id first.
            durable: Its transition.
            begin: Has it run; called under the lock.
        """
        opening = Opening(names, durable, begin, self)
        self._under_way.update(dict.fromkeys(names, opening))
        return opening

    def holds(self, name: str) -> bool:
        """Whether a session of some name is under way. Under the lock."""
        return name in self._under_way

    def finish(self, opening: Opening) -> None:
        """Have a session run that is durable, unless somebody has done so."""
        with self._lock:
            self._finish([opening])

    def give_up(self, timeout_seconds: float) -> None:
        """Tell who still waits for a session that it will not run: the runtime is closed."""
        if self._lock.acquire(timeout=timeout_seconds):
            try:
                self._finish(list(self._under_way.values()))
            finally:
                self._lock.release()

    def _finish(self, openings: Collection[Opening]) -> None:
        for opening in openings:
            opening.finish()
            for name in opening.names:
                self._under_way.pop(name, None)
