"""A connection to a daemon that many may use at once, and that comes back after a restart."""

import itertools
import os
import select
import socket
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import pykka

from maestro_actors.kernel import LaneFuture
from maestro_actors.messages import Message
from maestro_actors.proxy import encoded
from maestro_runtime.client._first_contact import first_contact, is_coming
from maestro_runtime.client._patience import Patience
from maestro_runtime.wire.errors import DaemonUnreachable, TooManyRequests, WireError
from maestro_runtime.wire.faults import error_of
from maestro_runtime.wire.frames import (
    Ask,
    Leave,
    Refusal,
    Reply,
    ServerFrame,
    Welcome,
    packed,
    receive,
)
from maestro_runtime.wire.line import connected
from maestro_runtime.wire.news import NEWS_ADDRESS, WhoRests

IN_FLIGHT_MAX: Final = 32
"""Requests that the daemon has at the same time."""

WAITS_MAX: Final = 24
"""Requests that wait for something to happen, such as event streams. Together with the others, and
a sign of life, they are fewer than a daemon allows: it counts one until it has sent its answer."""

QUEUE_MAX: Final = 16_384
"""Requests that wait here for their turn; a further one is refused."""

RETRY_SECONDS: Final = 0.1
"""When a caller who finds the queue full is told to try again."""

FRAME_SECONDS: Final = 30.0
"""How long a frame may take, once it has begun."""

SILENCE_SECONDS_MAX: Final = 1e6
"""As good as for ever, and not too much for `poll`."""

_PING: Final = encoded(WhoRests(sessions=()))

_GOING: Final = frozenset({"RuntimeDraining", "RuntimeStopped", "StoreClosed"})
"""Errors of a daemon that comes to its end: its successor is asked instead."""


class _Request:
    """What is asked, until it is answered."""

    __slots__ = ("frame", "future", "id", "waits")

    def __init__(self, request_id: int, frame: bytes, *, waits: bool) -> None:
        self.id = request_id
        self.frame = frame
        self.waits = waits
        self.future: LaneFuture[bytes] = LaneFuture()


class Link:
    """Carries requests to a daemon and resolves their futures. Any thread.

    Requests that had no answer when the connection broke are sent again, to whoever has the state
    then: each must be one that does no harm twice.
    """

    def __init__(self, path: Path, patience: Patience) -> None:
        """Connect; raises as `first_contact`."""
        self.path: Final = path
        self._pid: Final = os.getpid()
        self._patience: Final = patience
        self._ids = itertools.count(1)
        # Reentrant, because callbacks of a future ask for more.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[_Request] = deque()
        """Not sent yet, or to be sent again."""
        self._flying: dict[int, _Request] = {}
        """In the hands of the daemon."""
        self._held: list[_Request] = []
        """For the next daemon: this one is coming to its end."""
        self._waits = 0
        self._up = True
        self._closed = threading.Event()
        self._socket, self.welcome = first_contact(
            partial(connected, path, FRAME_SECONDS), partial(is_coming, path), patience
        )
        self._reader = threading.Thread(target=self._run, name="maestro-client", daemon=True)
        try:
            self._reader.start()
        except RuntimeError:
            # There is no memory for it, and nobody else would hang up.
            self._socket.close()
            raise

    def close(self) -> None:
        """Hang up; what waits for an answer fails. In a fork, and the second time: nothing."""
        if self._forked:
            return
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
            self._break()
        if threading.current_thread() is not self._reader:
            self._reader.join()

    def tell(self, address: str, message: Message) -> None:
        """Send a message whose answer nobody waits for."""
        self.ask(address, encoded(message))

    def ask(self, address: str, message: bytes) -> LaneFuture[bytes]:
        """Send an encoded message; the future has the encoded reply, or raises what the actor did.

        Raises:
            FrameTooLarge: It is longer than a frame may be.
            TooManyRequests: As many requests wait here as may.
            DaemonUnreachable: The client is closed, or this process is a fork of its own.
        """
        return self._ask(address, message, waits=False)

    def wait_for(self, address: str, message: bytes) -> LaneFuture[bytes]:
        """Send a message that is answered when something happens; otherwise as `ask`."""
        return self._ask(address, message, waits=True)

    def leave(self, future: pykka.Future[bytes]) -> None:
        """Wait no longer for the answer to a request; one that is answered is left alone."""
        if self._forked:
            return
        with self._changed:
            for request in [item for item in self._flying.values() if item.future is future]:
                del self._flying[request.id]
                self._release(request)
                self._send(packed(Leave(id=request.id)))
            for later in (self._queue, self._held):
                for request in [item for item in later if item.future is future]:
                    later.remove(request)
                    self._release(request)
            self._pump()

    @property
    def _forked(self) -> bool:
        # The line is the parent's: it hands out the same numbers for its own requests.
        return os.getpid() != self._pid

    def _ask(self, address: str, message: bytes, *, waits: bool) -> LaneFuture[bytes]:
        if self._forked:
            raise DaemonUnreachable(str(self.path), "this process is a fork of the client's")
        request_id = next(self._ids)
        frame = packed(Ask(id=request_id, address=address, message=message))
        request = _Request(request_id, frame, waits=waits)
        with self._changed:
            if self._closed.is_set():
                raise DaemonUnreachable(str(self.path), "the client is closed")
            if waits and self._waits >= WAITS_MAX:
                raise TooManyRequests(WAITS_MAX, RETRY_SECONDS)
            if len(self._queue) >= QUEUE_MAX:
                raise TooManyRequests(QUEUE_MAX, RETRY_SECONDS)
            self._waits += waits
            self._queue.append(request)
            self._pump()
            # Whoever has lost patience begins anew.
            self._changed.notify_all()
        return request.future

    def _pump(self) -> None:
        """Send what may be sent."""
        while self._up and self._queue and len(self._flying) < IN_FLIGHT_MAX + self._waits:
            request = self._queue.popleft()
            self._flying[request.id] = request
            self._send(request.frame)

    def _send(self, frame: bytes) -> None:
        """Send; if it is broken, the reader will find out, and all is sent again."""
        if self._up:
            try:
                self._socket.sendall(frame)
            except OSError:
                self._break()

    def _break(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _release(self, request: _Request) -> None:
        self._waits -= request.waits

    def _run(self) -> None:
        """Take answers until the end, over as many connections as it needs."""
        broken = self._take_all()
        while not self._closed.is_set():
            self._lost()
            error = self._reconnected(broken)
            if self._up:
                broken = self._take_all()
            elif error is not None:
                self._fail(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._queue or self._closed.is_set())
        self._lost()
        self._fail(DaemonUnreachable(str(self.path), "the client was closed"))

    def _take_all(self) -> WireError:
        """Resolve futures until this connection breaks; return why it did."""
        reason = "it closed the connection"
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        silence_seconds = min(self._patience.silence_seconds, SILENCE_SECONDS_MAX)
        pinged = False
        try:
            while self._up:
                if not poll.poll(silence_seconds * 1000):
                    if pinged:
                        reason = f"it gave no sign of life within {silence_seconds:g} s"
                        break
                    pinged = self._pinged()
                    continue
                pinged = False
                # An idle connection may stay so for ever; a frame that has begun may not.
                answer = receive(self._socket)
                if answer is None:
                    break
                self._take(answer)
        except WireError as error:
            return error
        except OSError as error:
            reason = error.strerror or str(error)
        return DaemonUnreachable(str(self.path), reason)

    def _pinged(self) -> bool:
        """Ask for what is answered at once whatever the daemon does; not if nothing is awaited."""
        with self._changed:
            if not self._flying and not self._held:
                return False
            self._send(packed(Ask(id=next(self._ids), address=NEWS_ADDRESS, message=_PING)))
            return True

    def _take(self, answer: ServerFrame) -> None:
        if isinstance(answer, Refusal) and not answer.id:
            raise error_of(answer)
        if not isinstance(answer, Reply | Refusal):
            return
        with self._changed:
            request = self._flying.pop(answer.id, None)
            if request is None:
                return
            if isinstance(answer, Refusal) and answer.kind in _GOING:
                self._held.append(request)
                return
            self._release(request)
            self._pump()
        if isinstance(answer, Reply):
            request.future.set(answer.body)
        else:
            error = error_of(answer)
            request.future.set_exception((type(error), error, None))

    def _lost(self) -> None:
        """Have everything sent again that is not answered, in its order."""
        with self._changed:
            self._up = False
            self._socket.close()
            unanswered = [*self._flying.values(), *self._held, *self._queue]
            self._queue = deque(sorted(unanswered, key=lambda request: request.id))
            self._flying, self._held = {}, []

    def _reconnected(self, error: WireError) -> WireError | None:
        """Connect again; return why that cannot be, once patience is over."""
        for pause_seconds in self._patience.pauses():
            try:
                found, welcome = connected(self.path, FRAME_SECONDS)
            except DaemonUnreachable as gone:
                error = gone
            except WireError as refused:
                return refused
            else:
                if welcome.state_id == self.welcome.state_id:
                    self._begin(found, welcome)
                    return None
                found.close()
                return DaemonUnreachable(str(self.path), "another state is served there")
            if self._patience.wait(self._closed, pause_seconds):
                return None
        return error

    def _begin(self, found: socket.socket, welcome: Welcome) -> None:
        with self._changed:
            if self._closed.is_set():
                # Whoever has closed it has hung up on the connection before, and waits for the end.
                found.close()
                return
            self._socket, self.welcome, self._up = found, welcome, True
            self._pump()

    def _fail(self, error: WireError) -> None:
        with self._changed:
            left = [*self._flying.values(), *self._held, *self._queue]
            self._queue.clear()
            self._flying, self._held = {}, []
            self._waits = 0
        for request in left:
            request.future.set_exception((type(error), error, None))
