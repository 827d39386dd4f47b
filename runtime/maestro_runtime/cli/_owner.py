"""The process that has a state open, as a command reaches it."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from maestro_runtime.cli._output import say

if TYPE_CHECKING:
    import msgspec

    from maestro_actors.messages import Request
    from maestro_runtime.cli._patient_line import PatientLine
    from maestro_runtime.wire.line import Line
    from maestro_runtime.wire.records import Asking
    from maestro_storage import Records, StoreInfo, VerifyReport

ReplyT = TypeVar("ReplyT", bound="msgspec.Struct")


class Owner:
    """The process that has a state open, at the other end of a line."""

    def __init__(self, line: "Line") -> None:
        """Take over a line."""
        self._line: Line | PatientLine = line

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    @property
    def socket(self) -> Path:
        """Where it was reached, and its successors are."""
        return self._line.path

    @property
    def hosts(self) -> bool:
        """Whether it runs sessions of others, too: a daemon."""
        return self._line.welcome.hosts

    @property
    def in_safe_mode(self) -> bool:
        """Whether it is a daemon that runs nothing, because it has crashed again and again."""
        return self._line.welcome.safe_mode

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

        return _asked(self._line, NEWS_ADDRESS, WhoRests(sessions=(session_id,))).left.get(
            session_id
        )

    def carry_out(self, order: "Request[ReplyT]") -> "ReplyT":
        """Have an order carried out once; durable on return.

        From now on a daemon that is gone is waited for, and what it has not answered is asked of
        the next one: after a change its caller must not be left without knowing what came of it.

        Raises:
            DaemonUnreachable: It has not come back in time; the order may be carried out.
            Exception: What the verb of `Runtime` does.
        """
        from maestro_runtime.cli._patient_line import PatientLine
        from maestro_runtime.wire.errors import DaemonUnreachable
        from maestro_runtime.wire.line import Line
        from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS, identified

        if self.hosts and isinstance(self._line, Line):
            self._line = PatientLine(self._line)
        try:
            return _asked(self._line, SUPERVISOR_ADDRESS, identified(order))
        except DaemonUnreachable:
            say("whether the order was carried out is not known: look before you give it again")
            raise

    def info(self) -> "StoreInfo":
        """Return figures as of now."""
        from maestro_runtime.wire.state import CUSTODIAN_ADDRESS, GetStateInfo

        return _asked(self._line, CUSTODIAN_ADDRESS, GetStateInfo())

    def verify(self) -> "VerifyReport":
        """Check every value on record, however long that takes."""
        from maestro_runtime.wire.state import VerifyState

        return self._waited_for(VerifyState())

    def backup(self, destination: Path) -> None:
        """Have a copy written, however long that takes; raises as `StateView.backup`."""
        from maestro_runtime.wire.state import BackUpState

        self._waited_for(BackUpState(destination=str(destination.absolute())))

    def _waited_for(self, request: "Request[ReplyT]") -> "ReplyT":
        """Ask about the state as a whole: a large one takes more than the minute of an answer."""
        from maestro_runtime.wire.line import Line
        from maestro_runtime.wire.state import CUSTODIAN_ADDRESS

        with Line(self.socket, is_patient=True) as line:
            return _asked(line, CUSTODIAN_ADDRESS, request)


def _asked(line: "Asking", address: str, request: "Request[ReplyT]") -> "ReplyT":
    import msgspec

    from maestro_actors.messages import encode, reply_of

    answer = line.ask(address, encode(request))
    return msgspec.msgpack.decode(answer, type=reply_of(type(request)))
