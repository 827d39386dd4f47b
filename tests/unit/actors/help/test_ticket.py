"""The names that keep a ticket a single one, and what a ticket tells."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_actors.help.posting import (
    decode_ticket,
    fingerprint_in,
    fingerprint_of,
    posting_id_of,
    posting_id_of_session,
)
from maestro_actors.help.ticket import ATTEMPTS_MAX, SENTENCE_CHARS_MAX, write_ticket
from maestro_actors.tasks.task import Assignment, Task
from maestro_storage.records import AttemptRecord, SessionRecord, TaskRecord
from maestro_storage.transition import Transition
from staging import contract, team

FAILED = TaskRecord(
    session_id="s-1",
    task_id="c1",
    phase="build",
    persona_id="dev",
    engine="scripted",
    state="help_needed",
    waits_for="person",
    failure="failed_check",
    evidence=("Exit code 2 after 17 s", "more"),
    tokens_used=70,
    tickets=1,
)


def attempt(number: int, **changes: object) -> AttemptRecord:
    row = AttemptRecord(
        session_id="s-1",
        task_id="c1",
        ordinal=number,
        round=1,
        attempt=number,
        call_id=bytes(16),
        state="failed",
        failure="transient",
        evidence=("reset",),
        delay_ms=1000,
        tokens=20,
    )
    return msgspec.structs.replace(row, **changes)


def written(ended: TaskRecord, attempts: list[AttemptRecord]) -> Transition:
    wanted = team()
    assignment = Assignment("s-1", "r", "/nowhere", None, 0, 1)
    draft = Transition()
    task = Task(assignment, wanted.personas["dev"], contract("c1"))
    write_ticket(draft, task, ended, attempts, 5_000)
    return draft


@given(number=st.integers(0, 10**9), digest=st.text("0123456789abcdef", min_size=8))
def test_a_fingerprint_passes_over_numbers_digests_case_and_spaces(
    number: int, digest: str
) -> None:
    def of(sentence: str) -> str:
        return fingerprint_of(msgspec.structs.replace(FAILED, evidence=(sentence,)))

    assert of(f"Exit  code {number} in {digest}") == of("exit code 1 in 00000000")


@given(first=st.text(max_size=40), second=st.text(max_size=40))
def test_letters_of_the_first_sentence_tell_failures_apart(first: str, second: str) -> None:
    def letters(text: str) -> str:
        return "".join(char for char in text.casefold() if "g" <= char <= "z")

    def of(sentence: str) -> str:
        return fingerprint_of(msgspec.structs.replace(FAILED, evidence=(sentence, first)))

    if letters(first) != letters(second):
        assert of(first) != of(second)


@pytest.mark.parametrize("field", ["session_id", "phase", "task_id", "persona_id", "failure"])
def test_the_place_and_the_class_of_a_failure_are_in_its_fingerprint(field: str) -> None:
    other = msgspec.structs.replace(FAILED, **{field: "other"})

    assert fingerprint_of(other) != fingerprint_of(FAILED)


def test_a_name_that_runs_into_the_next_does_not_make_the_same_fingerprint() -> None:
    one = msgspec.structs.replace(FAILED, session_id="ab", phase="c")
    other = msgspec.structs.replace(FAILED, session_id="a", phase="bc")

    assert fingerprint_of(one) != fingerprint_of(other)


def test_each_final_failure_has_a_posting_of_its_own_under_the_same_fingerprint() -> None:
    again = msgspec.structs.replace(FAILED, tickets=2, evidence=("exit code 3 after 99 s",))

    assert posting_id_of(again) != posting_id_of(FAILED)
    assert fingerprint_in(posting_id_of(again)) == fingerprint_of(FAILED)


def test_a_session_that_is_set_aside_again_for_the_same_repeats_its_ticket() -> None:
    session = SessionRecord(
        session_id="s-1",
        state="paused",
        team_name="t",
        team=b"",
        output_dir="",
        input_dir=None,
        created_ms=0,
        updated_ms=0,
        pause_reason="set aside: KeyError: 17",
        tickets=1,
    )
    again = msgspec.structs.replace(session, tickets=2, pause_reason="set aside: KeyError: 18")
    other = msgspec.structs.replace(session, pause_reason="set aside: TypeError: 17")

    names = [posting_id_of_session(record) for record in (session, again, other)]

    assert names[0] != names[1]
    assert fingerprint_in(names[0]) == fingerprint_in(names[1]) != fingerprint_in(names[2])


def test_a_ticket_tells_each_attempt_and_the_last_one_as_it_ended_the_task() -> None:
    draft = written(FAILED, [attempt(1), attempt(2, state="open", failure="", tokens=0)])

    ticket = decode_ticket(draft.payloads[0].content)
    first, last = ticket.attempts
    assert (first.failure, first.evidence, first.delay_ms, first.tokens) == (
        "transient",
        ("reset",),
        1000,
        20,
    )
    assert (last.failure, last.evidence, last.tokens) == ("failed_check", FAILED.evidence, 50)
    assert ticket.summary == "s-1/c1: failed_check: Exit code 2 after 17 s"


def test_a_ticket_is_bounded_however_often_the_task_was_tried() -> None:
    ended = msgspec.structs.replace(FAILED, evidence=("x" * 10_000,))
    draft = written(ended, [attempt(number) for number in range(1, 200)])

    ticket = decode_ticket(draft.payloads[0].content)
    assert ticket.attempt_count == 199
    assert [row.attempt for row in ticket.attempts] == list(range(200 - ATTEMPTS_MAX, 200))
    assert len(ticket.evidence[0]) == SENTENCE_CHARS_MAX


def test_the_row_is_pending_and_the_help_desk_is_told_once_it_is_durable() -> None:
    draft = written(FAILED, [])

    (change,) = draft.changes
    (delivery,) = draft.deliveries
    assert change.database == "outbox"
    assert posting_id_of(FAILED).encode() in change.key
    assert delivery.address == "urn:maestro:help-desk"
