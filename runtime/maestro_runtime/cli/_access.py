"""The state a command is about: its records, and the process that runs sessions in it, if any."""

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from maestro_runtime.cli._options import socket_path, state_path
from maestro_runtime.cli._output import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msgspec

    from maestro_actors.messages import Request
    from maestro_runtime.cli._at_rest import AtRest
    from maestro_runtime.wire.line import Line
    from maestro_storage import Records, StateView, StoreInfo, VerifyReport
    from maestro_storage.errors import StateOwned

ReplyT = TypeVar("ReplyT", bound="msgspec.Struct")


class Owner:
    """The process that has a state open, at the other end of a line."""

    def __init__(self, line: "Line") -> None:
        self._line = line

    @property
    def hosts(self) -> bool:
        """Whether it runs sessions of others, too: a daemon."""
        return self._line.welcome.hosts

    @property
    def pid(self) -> int:
        """Its process."""
        return self._line.welcome.pid

    @property
    def records(self) -> "Records":
        """What is on record."""
        from maestro_runtime.wire.records import LineRows
        from maestro_storage import Records

        welcome = self._line.welcome
        rows = LineRows(self._line)
        return Records(rows, epoch=welcome.epoch, quarantined=welcome.quarantined)

    def metrics(self) -> str:
        """Return its metrics, as Prometheus reads them."""
        import msgspec

        from maestro_actors.messages import encode
        from maestro_runtime.wire.metrics import METRICS_ADDRESS, GetMetrics, MetricsText

        answer = self._line.ask(METRICS_ADDRESS, encode(GetMetrics()))
        return msgspec.msgpack.decode(answer, type=MetricsText).text

    def runs(self, session_id: str) -> bool:
        """Whether the session goes on by itself."""
        import pykka

        from maestro_actors.identity import coordinator_address
        from maestro_actors.messages import GetSession, encode
        from maestro_runtime.wire.errors import DaemonUnreachable

        try:
            self._line.ask(coordinator_address(session_id), encode(GetSession()))
        except (pykka.ActorDeadError, DaemonUnreachable):
            # It may have come to its end by the very order that was asked of it.
            return False
        return True

    def why_left(self, session_id: str) -> str | None:
        """Return why it does not go on with a session that has work left; None: it does.

        Raises:
            DaemonUnreachable: It is gone.
        """
        from maestro_runtime.wire.news import NEWS_ADDRESS, WhoRests

        return self._asked(NEWS_ADDRESS, WhoRests(sessions=(session_id,))).left.get(session_id)

    def carry_out(self, order: "Request[ReplyT]") -> "ReplyT":
        """Have an order carried out; durable on return. Raises what the verb of `Runtime` does."""
        from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS

        return self._asked(SUPERVISOR_ADDRESS, order)

    def info(self) -> "StoreInfo":
        """Return figures as of now."""
        from maestro_runtime.wire.state import CUSTODIAN_ADDRESS, GetStateInfo

        return self._asked(CUSTODIAN_ADDRESS, GetStateInfo())

    def verify(self) -> "VerifyReport":
        """Check every value on record."""
        from maestro_runtime.wire.state import CUSTODIAN_ADDRESS, VerifyState

        return self._asked(CUSTODIAN_ADDRESS, VerifyState())

    def backup(self, destination: Path) -> None:
        """Have a copy written; raises as `StateView.backup`."""
        from maestro_runtime.wire.state import CUSTODIAN_ADDRESS, BackUpState

        self._asked(CUSTODIAN_ADDRESS, BackUpState(destination=str(destination.absolute())))

    def _asked(self, address: str, request: "Request[ReplyT]") -> "ReplyT":
        import msgspec

        from maestro_actors.messages import encode, reply_of

        answer = self._line.ask(address, encode(request))
        return msgspec.msgpack.decode(answer, type=reply_of(type(request)))


@contextmanager
def open_records(state_dir: str | None) -> "Iterator[Records]":
    """Lend the records of the state directory in force, verified as they are read.

    If another process owns the directory, they are read through its socket.

    Args:
        state_dir: As the flag says it, if it was given.

    Raises:
        NotFound: There is no state there.
        StateOwned: The owner has no socket that this user may use.
        NetworkFileSystem, StateNotWritable, StateTooNew, RecordTooNew, StateDamaged: It cannot be
            read or trusted.
        SettingInvalid: The flag or the environment does not name a directory.
    """
    with open_state(state_dir) as state:
        yield state.records if isinstance(state, Owner) else state


@contextmanager
def open_state(state_dir: str | None) -> "Iterator[StateView | Owner]":
    """Lend the state directory in force, or the process that owns it.

    Arguments and errors are those of `open_records`.
    """
    from maestro_storage import Store
    from maestro_storage.errors import StateOwned

    path = state_path(state_dir)
    try:
        view = Store.inspect(path)
    except StateOwned as owned:
        with _through_socket(state_dir, owned) as owner:
            yield owner
    else:
        with view:
            yield view


@contextmanager
def open_desk(state_dir: str | None) -> "Iterator[Owner | AtRest]":
    """Lend who changes the state directory in force: its owner, or this process if it has none.

    Nothing is made of a directory without a state by looking at its records.

    Args:
        state_dir: As the flag says it, if it was given.

    Raises:
        SettingInvalid: The flag or the environment does not name a directory.
        ProtocolMismatch, PeerRefused: The owner does not talk to this program.
    """
    from maestro_runtime.cli._at_rest import AtRest

    with open_owner(state_dir) as owner:
        if owner is not None:
            yield owner
            return
    with AtRest(state_path(state_dir)) as desk:
        yield desk


@contextmanager
def open_owner(state_dir: str | None) -> "Iterator[Owner | None]":
    """Lend the process that runs sessions of the state directory in force; None: there is none.

    Args:
        state_dir: As the flag says it, if it was given.

    Raises:
        SettingInvalid: The flag or the environment does not name a directory.
        ProtocolMismatch, PeerRefused: It does not talk to this program.
    """
    from maestro_runtime.wire.errors import DaemonUnreachable

    try:
        line = _line(state_dir)
    except DaemonUnreachable:
        yield None
        return
    with line:
        yield Owner(line)


@contextmanager
def _through_socket(state_dir: str | None, owned: "StateOwned") -> "Iterator[Owner]":
    from maestro_runtime.wire.errors import DaemonUnreachable

    try:
        line = _line(state_dir)
    except DaemonUnreachable:
        # An owner without one, such as a backup, or a release from before there was one.
        raise owned from None
    with line:
        if line.welcome.safe_mode:
            say("the daemon is in safe mode, nothing runs; see `state leave-safe-mode --help`")
        yield Owner(line)


def _line(state_dir: str | None) -> "Line":
    """Connect to the owner of the state directory in force.

    Raises:
        DaemonUnreachable: Nobody answers, or who does has another directory than the flag names.
        ProtocolMismatch, PeerRefused: It does not talk to this program.
    """
    from maestro_runtime.wire.errors import DaemonUnreachable
    from maestro_runtime.wire.line import Line

    path = state_path(state_dir)
    socket = socket_path(path)
    line = Line(socket)
    # What the environment names may be the daemon of another one.
    if state_dir is not None and socket.parent.resolve() != path.resolve():
        with ExitStack() as refused:
            refused.enter_context(line)
            if Path(Owner(line).info().path).resolve() != path.resolve():
                raise DaemonUnreachable(str(socket), "another state is served there")
            refused.pop_all()
    return line
