"""The world around a run: a provider, a ticket sink and an observer, which outlive its kills."""

import base64
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import forked
import observer
import posting_sink
from billing_server import Bill, BillingServer, billing
from crash_team import Run
from observer import Told
from posting_sink import Posted

SECRET: Final = "whsec_" + base64.b64encode(bytes(24)).decode()


@dataclass(frozen=True)
class Seen:
    """What the world has seen of all runs that have ended."""

    told: list[Told]
    bills: list[Bill]
    posted: list[Posted]
    provider_tells: bool = True
    """Whether the provider says afterwards what it billed."""

    @property
    def is_nothing(self) -> bool:
        """Whether no run has left a trace."""
        return not (self.told or self.bills or self.posted)

    @property
    def runs(self) -> list[Run]:
        """Every run of the engine."""
        return [Run(bill.call_id, bill.task_id, bill.ordinal) for bill in self.bills]


@dataclass(frozen=True)
class Outside:
    """The three of them, as a campaign has them."""

    directory: Path
    """Of their logs and sockets."""
    provider: BillingServer
    sink_port: int

    def look(self) -> Seen:
        """Collect what they have seen; no run may be alive."""
        return Seen(
            told=observer.told(self.observer, self.directory / "told.jsonl"),
            bills=self.provider.bills(),
            provider_tells=self.provider.tells,
            posted=posting_sink.posted(self.sink_port, self.directory / "posted.jsonl"),
        )

    @property
    def observer(self) -> Path:
        """The socket of the observer."""
        return self.directory / "observer.sock"

    @property
    def sink_url(self) -> str:
        """Where tickets are posted."""
        return f"http://127.0.0.1:{self.sink_port}/hook"


@contextmanager
def outside(directory: Path, *, breaks_off: bool = False) -> Iterator[Outside]:
    """Start the three, each in a process of its own; two of them may break off connections."""
    with ExitStack() as stack:
        provider = stack.enter_context(billing(directory, breaks_off=breaks_off))
        sink = stack.enter_context(socket.socket())
        sink.bind(("127.0.0.1", 0))
        sink.listen()
        started = Outside(directory, provider, sink.getsockname()[1])
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(started.observer))
        listener.listen()
        told, posted = str(directory / "told.jsonl"), str(directory / "posted.jsonl")
        stack.enter_context(forked.server(observer.serve, listener, told))
        stack.enter_context(
            forked.server(partial(posting_sink.serve, breaks_off=breaks_off), sink, posted)
        )
        yield started
