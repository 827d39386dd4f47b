"""The state a command is about: its records, and the process that runs sessions in it, if any."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from maestro_runtime.cli._options import state_path
from maestro_runtime.cli._output import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import msgspec

    from maestro_actors.messages import Request
    from maestro_runtime.wire.line import Line
    from maestro_storage import Records
    from maestro_storage.errors import StateOwned

ReplyT = TypeVar("ReplyT", bound="msgspec.Struct")


class Owner:
    """The process that has a state open, at the other end of a line."""

    def __init__(self, line: "Line") -> None:
        self._line = line

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

    def carry_out(self, order: "Request[ReplyT]") -> "ReplyT":
        """Have an order carried out; durable on return. Raises what the verb of `Runtime` does."""
        import msgspec

        from maestro_actors.messages import encode, reply_of
        from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS

        answer = self._line.ask(SUPERVISOR_ADDRESS, encode(order))
        return msgspec.msgpack.decode(answer, type=reply_of(type(order)))


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
    from maestro_storage import Store
    from maestro_storage.errors import StateOwned

    path = state_path(state_dir)
    try:
        view = Store.inspect(path)
    except StateOwned as owned:
        with _through_socket(path, owned) as records:
            yield records
    else:
        with view:
            yield view


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
    from maestro_runtime.wire.line import SOCKET_NAME, Line

    try:
        line = Line(state_path(state_dir) / SOCKET_NAME)
    except DaemonUnreachable:
        yield None
        return
    with line:
        yield Owner(line)


@contextmanager
def _through_socket(path: "Path", owned: "StateOwned") -> "Iterator[Records]":
    from maestro_runtime.wire.errors import DaemonUnreachable
    from maestro_runtime.wire.line import SOCKET_NAME, Line

    try:
        line = Line(path / SOCKET_NAME)
    except DaemonUnreachable:
        # An owner without one, such as a backup, or a release from before there was one.
        raise owned from None
    with line:
        if line.welcome.safe_mode:
            say("the daemon is in safe mode, nothing runs; see `state leave-safe-mode --help`")
        yield Owner(line).records
