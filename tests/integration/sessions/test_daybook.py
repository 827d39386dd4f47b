"""What calls that wait at the same accountant at the same time become on record."""

from __future__ import annotations

import dataclasses
import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from maestro_actors.accounting.daybook import DRAFTS_MAX, PAYLOAD_BYTES_MAX
from maestro_actors.accounting.token_accountant import TokenAccountant
from maestro_actors.engine import Usage
from maestro_actors.identity import ACCOUNTANT_ADDRESS
from maestro_actors.kernel import LaneActor, VirtualClock
from maestro_actors.ledger.budget import Budget, Caller
from maestro_actors.ledger.errors import LedgerConflict
from maestro_actors.messages import CallDenied, CallParked, CloseCall, CorrectCall, OpenCall
from maestro_storage.errors import NotFound
from maestro_storage.transition import Transition, payload_digest
from staging import BOUND_SECONDS, SESSION, Stage, open_stage, team

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from maestro_actors.ports import Journal

NEED = 100
USED = Usage(input_tokens=30, output_tokens=12)
HOURLY = Budget(id="hourly", window="hour", limit=10**9)


class NotedJournal:
    """The journal, and what was handed in to it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.transitions: list[Transition] = []
        self.handed_in = threading.Condition()

    def append(self, transition: Transition) -> None:
        with self.handed_in:
            self.transitions.append(transition)
            self.handed_in.notify_all()
        self._journal.append(transition)

    def keys(self, database: str) -> list[list[bytes]]:
        """Return the keys that each transition writes to a database."""
        return [
            [change.key for change in transition.changes if change.database == database]
            for transition in self.transitions
        ]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    opened = open_stage(tmp_path / "state", VirtualClock())
    opened.create(team())
    yield opened
    opened.close()


@pytest.fixture
def journal(stage: Stage) -> NotedJournal:
    """What the accountant of the stage hands in."""
    noted = NotedJournal(stage.ports.journal)
    ports = dataclasses.replace(stage.ports, journal=noted)
    stage.system.spawn(TokenAccountant, ports, address=ACCOUNTANT_ADDRESS)
    return noted


@contextmanager
def held(stage: Stage) -> Iterator[None]:
    """Let what is sent to the accountant meanwhile wait together."""
    stage.system.control(ACCOUNTANT_ADDRESS, "suspend")
    yield
    stage.system.control(ACCOUNTANT_ADDRESS, "resume")


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def open_call(
    stage: Stage, number: int, draft: Transition | None = None, *, limit_tokens: int = 10**9
) -> None:
    stage.accountant.open_call(
        OpenCall(
            call_id=name(number),
            caller=Caller(SESSION, "dev", contract_id="c1", engine="scripted"),
            round=1,
            attempt=1,
            need_tokens=NEED,
            limit_tokens=limit_tokens,
            at_ms=stage.clock.now_ms(),
            reply_to=f"urn:caller-{number}",
            draft=Transition() if draft is None else draft,
            budgets=(HOURLY,),
        )
    )


def close_call(stage: Stage, number: int) -> None:
    stage.accountant.close_call(
        CloseCall(
            session_id=SESSION,
            persona_id="dev",
            answered=True,
            call_id=name(number),
            state="settled",
            usage=USED,
            at_ms=stage.clock.now_ms(),
            draft=Transition(),
            outcome="ok",
        )
    )


def settle_down(stage: Stage) -> None:
    """Wait until all that was sent is durable."""
    stage.accountant.usage(SESSION).get(timeout=BOUND_SECONDS)
    stage.store.journal.settle(BOUND_SECONDS)


def assert_books_agree(stage: Stage) -> None:
    """Hold the counters on record against the calls on record."""
    calls = list(stage.store.calls.scan(SESSION))
    held_tokens = sum(call.reserved_tokens for call in calls if call.state == "open")
    spent_tokens = sum(call.input_tokens + call.output_tokens for call in calls)
    (budget,) = stage.store.budgets.scan(SESSION)
    (hourly,) = stage.store.counters.scan()
    assert (budget.held_tokens, budget.spent_tokens) == (held_tokens, spent_tokens)
    assert (hourly.held, hourly.spent) == (held_tokens, spent_tokens)


def test_calls_that_wait_together_are_one_transition_with_one_row_of_each_counter(
    stage: Stage, journal: NotedJournal
) -> None:
    with held(stage):
        for number in range(5):
            open_call(stage, number)
    settle_down(stage)

    assert [len(keys) for keys in journal.keys("calls")] == [5]
    assert [len(keys) for keys in journal.keys("budgets")] == [1]
    assert [len(keys) for keys in journal.keys("counters")] == [1]
    (transition,) = journal.transitions
    assert [delivery.address for delivery in transition.deliveries] == [
        f"urn:caller-{number}" for number in range(5)
    ]
    assert_books_agree(stage)


def test_openings_and_closings_that_wait_together_leave_counters_as_their_calls_say(
    stage: Stage, journal: NotedJournal
) -> None:
    with held(stage):
        for number in range(4):
            open_call(stage, number)
        for number in (2, 0):
            close_call(stage, number)
    settle_down(stage)

    assert len(journal.transitions) == 1
    assert [call.state for call in stage.store.calls.scan(SESSION)] == [
        *("settled", "open", "settled", "open")
    ]
    assert_books_agree(stage)


@pytest.mark.parametrize("limit_tokens", [NEED - 1, NEED], ids=["denied", "parked"])
def test_a_call_is_refused_behind_what_that_was_decided_by(
    stage: Stage, journal: NotedJournal, limit_tokens: int
) -> None:
    heard: queue.SimpleQueue[tuple[type, int]] = queue.SimpleQueue()

    class Refused(LaneActor):
        def on_receive(self, message: object) -> None:
            heard.put((type(message), len(journal.transitions)))

    stage.system.spawn(Refused, address="urn:caller-2")
    with held(stage):
        open_call(stage, 1, limit_tokens=NEED)
        open_call(stage, 2, limit_tokens=limit_tokens)
        open_call(stage, 3)

    answer, handed_in = heard.get(timeout=BOUND_SECONDS)

    assert answer is (CallDenied if limit_tokens < NEED else CallParked)
    assert handed_in == 1


def test_a_call_is_handed_in_at_once_when_nothing_else_waits(
    stage: Stage, journal: NotedJournal
) -> None:
    for number in range(3):
        open_call(stage, number)
        with journal.handed_in:
            assert journal.handed_in.wait_for(
                lambda: len(journal.transitions) == number + 1,  # noqa: B023 - called here
                BOUND_SECONDS,
            )
    stage.accountant.append(Transition())
    settle_down(stage)

    assert [len(keys) for keys in journal.keys("budgets")] == [1, 1, 1, 0]
    assert_books_agree(stage)


def test_no_more_calls_than_a_turn_takes_are_handed_in_together(
    stage: Stage, journal: NotedJournal
) -> None:
    with held(stage):
        for number in range(DRAFTS_MAX + 2):
            open_call(stage, number)
    settle_down(stage)

    assert [len(keys) for keys in journal.keys("calls")] == [DRAFTS_MAX, 2]
    assert_books_agree(stage)


def test_large_payloads_are_not_handed_in_together(stage: Stage, journal: NotedJournal) -> None:
    with held(stage):
        for number in range(3):
            draft = Transition()
            draft.payload(SESSION, bytes([number]) * (PAYLOAD_BYTES_MAX // 2 + 1))
            open_call(stage, number, draft)
    settle_down(stage)

    assert [len(keys) for keys in journal.keys("calls")] == [2, 1]


def test_a_payload_that_one_call_lets_go_and_the_next_keeps_is_kept(
    stage: Stage, journal: NotedJournal
) -> None:
    content = b"said twice"
    keeping, leaving = Transition(), Transition()
    digest = keeping.payload(SESSION, content)
    leaving.release(SESSION, digest)
    open_call(stage, 0, keeping)
    settle_down(stage)
    again = Transition()
    again.payload(SESSION, content)

    with held(stage):
        open_call(stage, 1, leaving)
        open_call(stage, 2, again)
    settle_down(stage)

    assert len(journal.transitions) == 3
    assert stage.store.payloads.get(payload_digest(content)) == content


def test_who_has_an_answer_of_the_accountant_finds_all_before_it_handed_in(
    stage: Stage, journal: NotedJournal
) -> None:
    with held(stage):
        open_call(stage, 0)
        open_call(stage, 1)
        answer = stage.accountant.usage(SESSION)
        open_call(stage, 2)
    answer.get(timeout=BOUND_SECONDS)
    stage.store.journal.settle(BOUND_SECONDS)

    assert {call.call_id for call in stage.store.calls.scan(SESSION)} >= {name(0), name(1)}
    assert len(journal.keys("calls")[0]) == 2


def test_an_order_that_is_refused_keeps_nothing_back_that_waited_with_it(
    stage: Stage, journal: NotedJournal
) -> None:
    order = CorrectCall(
        session_id=SESSION,
        call_id=name(9),
        correction_id="k",
        usage=USED,
        reason="counted again",
        at_ms=stage.clock.now_ms(),
    )

    with held(stage):
        open_call(stage, 0)
        refused = stage.accountant.correct(order)

    with pytest.raises(NotFound, match="call"):
        refused.get(timeout=BOUND_SECONDS)
    with journal.handed_in:
        assert journal.handed_in.wait_for(lambda: journal.transitions, BOUND_SECONDS)


def test_a_correction_that_cannot_be_stored_takes_no_call_with_it(
    stage: Stage, journal: NotedJournal
) -> None:
    open_call(stage, 0)
    close_call(stage, 0)
    settle_down(stage)
    too_long = CorrectCall(
        session_id=SESSION,
        call_id=name(0),
        correction_id="k",
        usage=Usage(input_tokens=7),
        reason="x" * (1 << 21),
        at_ms=stage.clock.now_ms(),
    )

    with held(stage):
        open_call(stage, 1)
        refused = stage.accountant.correct(too_long)
        open_call(stage, 2)
    with pytest.raises(LedgerConflict):
        refused.get(timeout=BOUND_SECONDS)
    settle_down(stage)

    assert [call.state for call in stage.store.calls.scan(SESSION)] == ["settled", "open", "open"]
    assert_books_agree(stage)


def test_an_accountant_that_stops_hands_in_what_it_has_entered(
    stage: Stage, journal: NotedJournal
) -> None:
    with held(stage):
        open_call(stage, 0)
        gone = stage.system.stop(ACCOUNTANT_ADDRESS)
    gone.get(timeout=BOUND_SECONDS)
    stage.store.journal.settle(BOUND_SECONDS)

    assert [len(keys) for keys in journal.keys("calls")] == [1]
    assert_books_agree(stage)
