from collections.abc import Iterator

import msgspec
import pytest

from maestro_actors.help.posting import Posting, Ticket, TicketAttempt
from maestro_actors.kernel import ActorSystem, AsyncLane, VirtualClock
from ticket_server import TicketServer, serving

FIRST = Posting(
    posting_id="f" * 32 + "-1",
    fingerprint="f" * 32,
    ticket=Ticket(
        session_id="s-1",
        task_id="note",
        contract="The note",
        phase="write",
        persona_id="writer",
        engine="rehearsal",
        state="help_needed",
        failure="failed_check",
        evidence=("exit code 2",),
        tokens_used=70,
        attempt_count=1,
        attempts=(
            TicketAttempt(
                round=1,
                attempt=1,
                failure="failed_check",
                evidence=("exit code 2", "a\nforged line"),
                delay_ms=1500,
                tokens=70,
            ),
        ),
        at_ms=1_700_000_000_123,
    ),
    reference="",
    doubtful=False,
)


@pytest.fixture
def first() -> Posting:
    """The first posting of a ticket."""
    return FIRST


@pytest.fixture
def second() -> Posting:
    """A repetition of the ticket; its reference is to be set to where the first one went."""
    return msgspec.structs.replace(FIRST, posting_id="f" * 32 + "-2", reference="OPS-1")


@pytest.fixture
def server() -> Iterator[TicketServer]:
    """A server that records what it is asked."""
    with serving() as state:
        yield state


@pytest.fixture
def system() -> Iterator[ActorSystem]:
    lane = AsyncLane("test")
    system = ActorSystem(lane, VirtualClock(1))
    yield system
    system.stop_all(timeout_seconds=20.0)
    lane.close()
