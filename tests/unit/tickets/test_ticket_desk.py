"""The thread between help desk and sink."""

import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pykka
import pytest

from listener import Listener
from maestro_actors.help.help_desk import HelpDesk
from maestro_actors.help.posting import Posting
from maestro_actors.kernel import ActorSystem
from maestro_actors.messages import HelpDeskMessage, PostingNotSent, PostingSent
from maestro_runtime.redaction import Redactor
from maestro_runtime.tickets import AlertFile, TicketDesk, TicketNotDelivered

BOUND_SECONDS = 20.0


class Sink:
    """A sink that does what the test says."""

    name = "scripted"
    secrets: tuple[str, ...] = ("s3cret",)

    def __init__(self, act: Callable[[Posting], str]) -> None:
        self._act = act

    def post(self, posting: Posting) -> str:
        return self._act(posting)


def answer_of(
    system: ActorSystem, posting: Posting, act: Callable[[Posting], str]
) -> HelpDeskMessage:
    heard: pykka.Future[bytes] = pykka.ThreadingFuture()
    system.spawn(Listener, heard, address="urn:test")
    desk = TicketDesk(system, Sink(act), AlertFile(Path("/nowhere")), Redactor())
    desk.post(posting, "urn:test")
    message = heard.get(timeout=BOUND_SECONDS)
    desk.close()
    return HelpDesk.INBOX.decode(message)  # type: ignore[no-any-return] # the union


def test_the_reference_comes_back_in_one_line(system: ActorSystem, first: Posting) -> None:
    answer = answer_of(system, first, lambda _posting: "OPS-1\nforged")

    assert answer == PostingSent(
        session_id="s-1", posting_id=first.posting_id, reference="OPS-1 forged"
    )


def test_secrets_are_cut_out_of_whatever_a_sink_says(system: ActorSystem, first: Posting) -> None:
    def fail(_posting: Posting) -> str:
        raise TicketNotDelivered("scripted", "header s3cret refused", doubtful=False)

    answer = answer_of(system, first, fail)

    assert isinstance(answer, PostingNotSent)
    assert (answer.reason, answer.doubtful) == ("scripted: header *** refused", False)


def test_what_no_sink_should_raise_leaves_a_doubt(system: ActorSystem, first: Posting) -> None:
    def fail(_posting: Posting) -> str:
        raise ValueError("s3cret")

    answer = answer_of(system, first, fail)

    assert isinstance(answer, PostingNotSent)
    assert (answer.reason, answer.doubtful) == ("scripted: ValueError: ***", True)


def test_a_doubt_from_before_outlasts_a_try_that_cannot_have_arrived(
    system: ActorSystem, first: Posting
) -> None:
    def fail(_posting: Posting) -> str:
        raise TicketNotDelivered("scripted", "refused", doubtful=False)

    answer = answer_of(system, msgspec.structs.replace(first, doubtful=True), fail)

    assert isinstance(answer, PostingNotSent)
    assert answer.doubtful


def test_closing_does_not_wait_for_a_sink_that_hangs(
    system: ActorSystem, first: Posting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maestro_runtime.tickets.desk.CLOSE_SECONDS", 0.01)
    begun, release = threading.Event(), threading.Event()

    def hang(_posting: Posting) -> str:
        begun.set()
        release.wait(BOUND_SECONDS)
        return ""

    desk = TicketDesk(system, Sink(hang), AlertFile(Path("/nowhere")), Redactor())
    desk.post(first, "urn:test")
    assert begun.wait(BOUND_SECONDS)

    desk.close()

    assert not release.is_set()
    release.set()


def test_an_undelivered_ticket_is_an_error_that_survives_pickling() -> None:

    error = TicketNotDelivered("jira", "status 503", doubtful=True)

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert str(copy) == "ticket may not have been delivered by sink 'jira': status 503"
    assert copy.doubtful
