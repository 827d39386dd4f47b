"""Waiting for the ends of any number of sessions, with one request of a connection."""

import sys
import threading
from typing import Any, Final

import msgspec

from maestro_actors.kernel import LaneFuture
from maestro_actors.messages import encode
from maestro_runtime.client._link import Link
from maestro_runtime.errors import SessionLeftAlone
from maestro_runtime.wire.news import (
    NEWS_ADDRESS,
    SESSIONS_MAX,
    Ended,
    NextEnds,
    Resting,
    WhoRests,
)

_ended: Final = msgspec.msgpack.Decoder(Ended).decode
_resting: Final = msgspec.msgpack.Decoder(Resting).decode


class Ends:
    """Resolves the future of each session that ends. Any thread.

    The daemon tells of every end since a number. Whoever begins to wait looks at the record, too,
    and so do all when ends may have been missed, as after a restart of the daemon.
    """

    def __init__(self, link: Link) -> None:
        self._link: Final = link
        self._lock = threading.Lock()
        self._waiting: dict[str, LaneFuture[None]] = {}
        self._unseen: set[str] = set()
        """Whose records are to be looked at."""
        self._listening = False
        self._looking = False

    def expect(self, session_id: str) -> LaneFuture[None]:
        """Return what is resolved once nothing runs in a session any more.

        Raises, through the future:
            SessionLeftAlone: It has work left, and the daemon does not go on with it.
            DaemonUnreachable: The daemon is gone for longer than the client's patience.
        """
        with self._lock:
            known = self._waiting.get(session_id)
            if known is not None:
                return known
            future = self._waiting[session_id] = LaneFuture[None]()
            listens, self._listening = self._listening, True
            if listens:
                self._unseen.add(session_id)
        if listens:
            self._look()
        else:
            # The answer to this one says that all must be looked at.
            self._listen(0, 0)
        return future

    def _listen(self, epoch: int, after: int) -> None:
        request = encode(NextEnds(epoch=epoch, after=after))
        try:
            # Not as one that waits: of this there is only one, and streams must not crowd it out.
            answer = self._link.ask(NEWS_ADDRESS, request)
        except Exception:  # noqa: BLE001 - for those who wait
            self._fail(sys.exc_info(), hears=False)
        else:
            answer.add_done_callback(self._hear)

    def _hear(self, answer: LaneFuture[bytes]) -> None:
        try:
            news = _ended(answer.get(timeout=0))
        except Exception:  # noqa: BLE001 - for those who wait
            self._fail(sys.exc_info(), hears=False)
            return
        self._resolve(news)
        with self._lock:
            if news.missed:
                self._unseen.update(self._waiting)
            self._listening = bool(self._waiting)
            goes_on = self._listening
        if goes_on:
            self._listen(news.epoch, news.number)
            self._look()

    def _look(self) -> None:
        """Ask about those that nobody has looked at, many at once."""
        with self._lock:
            if self._looking or not self._unseen:
                return
            asked = tuple(sorted(self._unseen)[:SESSIONS_MAX])
            self._unseen.difference_update(asked)
            self._looking = True
        try:
            answer = self._link.ask(NEWS_ADDRESS, encode(WhoRests(sessions=asked)))
        except Exception:  # noqa: BLE001 - for those who wait
            self._fail(sys.exc_info())
        else:
            answer.add_done_callback(self._seen)

    def _seen(self, answer: LaneFuture[bytes]) -> None:
        try:
            found = _resting(answer.get(timeout=0))
        except Exception:  # noqa: BLE001 - for those who wait
            self._fail(sys.exc_info())
            return
        with self._lock:
            self._looking = False
        self._resolve(found)
        self._look()

    def _resolve(self, news: Ended | Resting) -> None:
        with self._lock:
            known = [name for name in news.sessions if name in self._waiting]
            over = {name: self._waiting.pop(name) for name in known}
            self._unseen.difference_update(news.sessions)
        for name, future in over.items():
            if name in news.left:
                error = SessionLeftAlone(name, news.left[name])
                future.set_exception((SessionLeftAlone, error, None))
            else:
                future.set(None)

    def _fail(self, error: Any, *, hears: bool = True) -> None:
        with self._lock:
            # Else who waits next would have a second one listen.
            self._listening = self._listening and hears
            left = list(self._waiting.values())
            self._waiting.clear()
            self._unseen.clear()
            self._looking = False
        for future in left:
            future.set_exception(error)
