"""A runtime in another process, as a program sees it: the verbs of `Runtime`, through a socket."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from weakref import WeakKeyDictionary

import msgspec
import pykka

from maestro_actors.help.answer import Answer
from maestro_actors.kernel import LaneFuture
from maestro_actors.messages import CorrectCall, Request, ToppedUp, encode
from maestro_actors.proxy import Channel
from maestro_actors.team import Team
from maestro_actors.verbs.rework import Rerun
from maestro_runtime.checkpoints import ForkOrder, Imported, ImportOrder, Pruned
from maestro_runtime.client._ends import Ends
from maestro_runtime.client._link import Link
from maestro_runtime.client._patience import Patience
from maestro_runtime.config import Flags, resolve_settings
from maestro_runtime.phases import PhaseRun
from maestro_runtime.proxies import Proxies
from maestro_runtime.receipts import new_request_id
from maestro_runtime.reports.breakers import BreakerReport
from maestro_runtime.session import CANCEL_SECONDS, Session, SessionOrder
from maestro_runtime.stream import Batch
from maestro_runtime.top_up import TopUpOrder
from maestro_runtime.wire.errors import TooManyRequests
from maestro_runtime.wire.frames import Welcome
from maestro_runtime.wire.line import SOCKET_NAME
from maestro_runtime.wire.news import (
    NEWS_ADDRESS,
    AwaitPhases,
    EventBatch,
    NextEvents,
    SettleTickets,
    TicketsSettled,
)
from maestro_runtime.wire.orders import Accepted
from maestro_runtime.wire.records import LineRows
from maestro_runtime.wire.session_order import fork_of, import_of, start_of
from maestro_storage import Records
from maestro_storage.plan import Plan
from maestro_storage.records import EventRecord

SOCKET_VARIABLE: Final = "MAESTRO_SOCKET"

L = TypeVar("L")
T = TypeVar("T", bound=msgspec.Struct)

_batch: Final = msgspec.msgpack.Decoder(EventBatch).decode
_event: Final = msgspec.msgpack.Decoder(EventRecord).decode


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a program is connected. The defaults suit all but tests."""

    patience: Patience = field(default_factory=Patience)
    request_ids: Callable[[], bytes] = new_request_id
    """Draws the id of each order that must not be done twice."""


class Client(Proxies):
    """A runtime in another process. Any thread; close it, or use it as a context manager.

    Not in a forked child, and not from a callback of one of its futures, which would wait for
    itself.

    When its connection breaks, it comes back by itself, to the next owner of the state too: what
    has no answer by then is sent again and done once, and whoever waits goes on waiting. After the
    patience of its options all that waits fails with `DaemonUnreachable`. A request has no time
    limit of its own, because some take long; a daemon that stands still is noticed, and counts as
    gone: see `Patience.silence_seconds`.

    Verbs raise what those of `Runtime` do, and:
        DaemonUnreachable: Nobody has answered for longer than the client's patience.
        SessionsNotHosted: The process that has the state starts no sessions for others.
        FrameTooLarge: An order has more than 1 MiB.
        TooManyRequests: As many requests as may wait here for their turn.
    """

    def __init__(self, path: Path, options: ClientOptions) -> None:
        """Used by `connect`."""
        self._options: Final = options
        self._link: Final = Link(path, options.patience)
        super().__init__(self._link)
        self._ends: Final = Ends(self._link)
        self._waits: Final[WeakKeyDictionary[pykka.Future[Any], LaneFuture[bytes]]] = (
            WeakKeyDictionary()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; sessions go on. What waits for an answer fails. A second call does nothing."""
        self._link.close()

    @property
    def channel(self) -> Channel:
        """What its proxies send through."""
        return self._link

    @property
    def welcome(self) -> Welcome:
        """What the daemon said of itself when it was reached last."""
        return self._link.welcome

    @property
    def store(self) -> Records:
        """What is on record, read through the socket and verified here."""
        welcome = self.welcome
        rows = LineRows(_Reader(self._link))
        return Records(rows, epoch=welcome.epoch, quarantined=welcome.quarantined)

    def run(self, order: SessionOrder) -> Session:
        """See `Runtime.run`. Directories are those of this process."""
        return self.accepted(self._done(start_of(order)))

    submit = run

    def create(self, order: SessionOrder) -> str:
        """See `Runtime.create`."""
        return self._done(start_of(order, run=False)).session_id

    def resume(
        self,
        session_id: str,
        plan: Plan | None = None,
        *,
        team: Team | None = None,
        accept_changes: bool = False,
        request_id: bytes = b"",
    ) -> Session:
        """See `Runtime.resume`."""
        asked = self.supervisor.resume_session(
            session_id=session_id,
            plan=plan,
            team=team,
            accept_changes=accept_changes,
            request_id=self._id(request_id),
        )
        return self.accepted(asked.get())

    def fork(self, order: ForkOrder, *, request_id: bytes = b"") -> Session:
        """See `Runtime.fork`."""
        return self.accepted(self._done(fork_of(order, request_id=self._id(request_id))))

    def pause(
        self, session_id: str, *, reason: str = "asked for", interrupt: bool = False
    ) -> Session:
        """See `Runtime.pause`."""
        asked = self.supervisor.pause_session(
            session_id=session_id, reason=reason, interrupt=interrupt
        )
        return self.accepted(asked.get())

    def cancel(
        self, session_id: str, *, deadline_seconds: float = CANCEL_SECONDS, reason: str = ""
    ) -> Session:
        """See `Runtime.cancel`."""
        asked = self.supervisor.cancel_session(
            session_id=session_id, deadline_seconds=deadline_seconds, reason=reason
        )
        return self.accepted(asked.get())

    def retry(self, session_id: str, task_id: str, *, request_id: bytes = b"") -> None:
        """See `Runtime.retry`."""
        self.supervisor.retry_failed(
            session_id=session_id, task_id=task_id, request_id=self._id(request_id)
        ).get()

    def rerun(
        self, session_id: str, phase: str, *, interrupt: bool = False, request_id: bytes = b""
    ) -> Rerun:
        """See `Runtime.rerun`."""
        asked = self.supervisor.rerun_phase(
            session_id=session_id,
            phase=phase,
            interrupt=interrupt,
            request_id=self._id(request_id),
        )
        return asked.get()

    def remove(
        self,
        session_id: str,
        *,
        cancel: bool = False,
        deadline_seconds: float = CANCEL_SECONDS,
        request_id: bytes = b"",
    ) -> Session:
        """See `Runtime.remove`."""
        asked = self.supervisor.remove_session(
            session_id=session_id,
            cancel=cancel,
            deadline_seconds=deadline_seconds,
            request_id=self._id(request_id),
        )
        return self.accepted(asked.get())

    def answer(
        self, session_id: str, task_id: str, answer: Answer, *, request_id: bytes = b""
    ) -> None:
        """See `Runtime.answer`."""
        self.supervisor.answer_task(
            session_id=session_id,
            task_id=task_id,
            answer=answer,
            request_id=self._id(request_id),
        ).get()

    def checkpoint(self, session_id: str, name: str, *, request_id: bytes = b"") -> int:
        """See `Runtime.checkpoint`."""
        asked = self.supervisor.name_checkpoint(
            session_id=session_id, name=name, request_id=self._id(request_id)
        )
        return asked.get().number

    def run_phases(self, session_id: str, phases: Sequence[str]) -> PhaseRun:
        """See `Runtime.run_phases`."""
        names = tuple(dict.fromkeys(phases))
        self.supervisor.begin_phases(
            session_id=session_id, phases=names, request_id=self._options.request_ids()
        ).get()
        return self.phase_run(session_id, names)

    def top_up(self, order: TopUpOrder, *, request_id: bytes = b"") -> ToppedUp:
        """See `Runtime.top_up`."""
        return self.supervisor.top_up(order=order, request_id=self._id(request_id)).get()

    def correct(self, order: CorrectCall) -> None:
        """See `Runtime.correct`."""
        self.supervisor.correct_booking(order=order).get()

    def open_breaker(self, name: str, *, by: str = "") -> BreakerReport:
        """See `Runtime.open_breaker`."""
        return self.supervisor.open_breaker(name=name, by=by).get()

    def close_breaker(self, name: str, *, by: str = "") -> BreakerReport:
        """See `Runtime.close_breaker`."""
        return self.supervisor.close_breaker(name=name, by=by).get()

    def prune(self, session_id: str) -> Pruned:
        """See `Runtime.prune`."""
        return self.supervisor.prune_checkpoints(session_id=session_id).get()

    def import_bundle(self, order: ImportOrder, *, request_id: bytes = b"") -> Imported:
        """See `Runtime.import_bundle`. Paths are those of this process."""
        asked = import_of(order, request_id=self._id(request_id))
        return self.supervisor.carry_out(asked).get()

    def keep_values(self, values: Mapping[str, bytes | None]) -> None:
        """See `Runtime.keep_values`."""
        self.supervisor.keep_values(values=dict(values)).get()

    def settle_tickets(self, session_id: str, timeout_seconds: float) -> bool:
        """See `Runtime.settle_tickets`; at most for an hour."""
        asked = SettleTickets(session_id=session_id, timeout_seconds=timeout_seconds)
        answer = self._link.wait_for(NEWS_ADDRESS, encode(asked)).get()
        return msgspec.msgpack.decode(answer, type=TicketsSettled).delivered

    def session(self, session_id: str) -> Session:
        """Return the handle of a session that was started somewhere; nothing is asked."""
        return Session(session_id, self)

    def phase_run(self, session_id: str, phases: tuple[str, ...]) -> PhaseRun:
        """Return the handle of phases that were begun somewhere.

        Raises, when it is waited for:
            TooManyRequests: There are 24 streams or the like already.
        """
        asked = AwaitPhases(session_id=session_id, phases=phases)
        try:
            over = self._link.wait_for(NEWS_ADDRESS, encode(asked))
        except TooManyRequests as error:
            # They have begun all the same: only who waits for them is to hear of it.
            over = LaneFuture()
            over.set_exception((TooManyRequests, error, None))
        return PhaseRun(session_id, phases, self.store, over, is_remote=True)

    def ended(self, session_id: str) -> LaneFuture[None]:
        """Return what is resolved once nothing runs in a session any more."""
        return self._ends.expect(session_id)

    def next_events(self, session_id: str, since: int) -> LaneFuture[Batch]:
        """Return the future of a session's next events from a sequence on, or that it rests.

        Raises:
            TooManyRequests: There are 24 streams or the like already.
        """
        request = encode(NextEvents(session_id=session_id, since=since))
        answer = self._link.wait_for(NEWS_ADDRESS, request)
        batch: LaneFuture[Batch] = answer.map(_decoded)  # type: ignore[assignment] # of its kind
        self._waits[batch] = answer
        return batch

    async def looked(self, look: Callable[[], L]) -> L:
        """Return what a function finds on record, on another thread: it asks the daemon."""
        return await asyncio.to_thread(look)

    def leave(self, batch: pykka.Future[Batch]) -> None:
        """Wait no longer for events."""
        answer = self._waits.pop(batch, None)
        if answer is not None and not answer.is_done:
            self._link.leave(answer)

    def _done(self, order: Request[T]) -> T:
        return self.supervisor.carry_out(order).get()

    def _id(self, given: bytes) -> bytes:
        return given or self._options.request_ids()

    def accepted(self, accepted: Accepted) -> Session:
        """Return the handle of a session that an order was about."""
        over: LaneFuture[None] | None = None
        if accepted.rests:
            over = LaneFuture()
            over.set(None)
        return Session(accepted.session_id, self, over)


class _Reader:
    """Asks through a link, and waits."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def ask(self, address: str, message: bytes) -> bytes:
        """Return the encoded reply."""
        reply: bytes = self._link.ask(address, message).get()
        return reply


def connect(
    socket: Path | str | None = None,
    state_dir: Path | str | None = None,
    options: ClientOptions | None = None,
) -> Client:
    """Connect to the process that has a state open, and runs its sessions.

    One that seems to be on its way, as over a restart, is waited for: its socket is there and
    refuses, or somebody owns the directory of the socket and does not listen yet. How long is
    `ClientOptions(patience=Patience(coming_seconds=...))`, 10 seconds by default. A program that
    embeds a runtime and does not listen is not waited for; neither is a daemon that has not made or
    taken its directory yet, because nothing tells it from a wrong name: who starts one waits for
    its `ready`.

    Args:
        socket: Its socket. None: `MAESTRO_SOCKET`, unless a state directory is given.
        state_dir: Its state directory, which has the socket; None: `MAESTRO_STATE_DIR`, else
            `/var/maestro/state`.
        options: None: the defaults.

    Raises:
        DaemonUnreachable: Nobody answers there, and nobody is on the way or has come in time.
        ProtocolMismatch: Who answers speaks another version of the protocol.
        PeerRefused: This user may not.
        SettingInvalid: The environment does not name a directory.
    """
    return Client(socket_path(socket, state_dir), options or ClientOptions())


def socket_path(socket: Path | str | None = None, state_dir: Path | str | None = None) -> Path:
    """Return the socket that is meant; see `connect`."""
    if socket is None and state_dir is None:
        socket = os.environ.get(SOCKET_VARIABLE) or None
    if socket is not None:
        return Path(socket)
    flag = None if state_dir is None else os.fspath(state_dir)
    return resolve_settings(Flags(state_dir=flag), os.environ).state_dir.value / SOCKET_NAME


def _decoded(answer: bytes) -> Batch:
    batch = _batch(answer)
    return Batch(tuple(map(_event, batch.events)), over=batch.over)
