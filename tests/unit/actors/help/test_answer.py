"""What an answer is, and what becomes of a task by it."""

import msgspec
import pytest

from maestro_actors.checks import Checked, CheckResult, Human, MinBytes, decode_checked
from maestro_actors.errors import AnswerInvalid, HelpNotAwaited
from maestro_actors.help.answer import (
    NOTE_CHARS_MAX,
    TOKENS_MAX,
    Answer,
    Questions,
    answered,
    questions_of,
)
from maestro_actors.team import Contract, Deliverable, Phase, Team
from maestro_storage.records import SessionRecord, TaskRecord, TaskState

TASK = TaskRecord(
    session_id="s-1",
    task_id="c1",
    phase="build",
    persona_id="dev",
    engine="scripted",
    state="help_needed",
    waits_for="person",
    round=2,
    attempt=3,
    ordinal=6,
    failure="failed_check",
    evidence=("exit code 2",),
    notes=("first",),
    finished_ms=9,
)
SESSION = SessionRecord(
    session_id="s-1",
    state="help_needed",
    team_name="t",
    team=bytes(32),
    output_dir="/out",
    input_dir=None,
    created_ms=1,
    updated_ms=1,
    error="1 of 1 tasks need a person: c1",
)


def after(answer: Answer, task: TaskRecord = TASK) -> TaskRecord:
    draft = answered(SESSION, task, answer, 10, 7)
    body = next(change.body for change in draft.changes if change.database == "tasks")
    assert body is not None
    return msgspec.msgpack.decode(body, type=TaskRecord)


def test_a_retry_keeps_what_was_tried_and_adds_the_note() -> None:
    task = after(Answer(decision="retry", note="second"))

    assert (task.state, task.waits_for, task.round, task.attempt) == ("queued", "slot", 3, 0)
    assert (task.ordinal, task.evidence, task.notes) == (
        6,
        ("exit code 2",),
        ("first", "second"),
    )
    assert task.finished_ms is None


@pytest.mark.parametrize(("by", "kept"), [("x" * (1 << 21), "x" * 200), ("\udcff", "?")])
def test_whoever_answers_is_named_as_far_as_that_can_be_kept(by: str, kept: str) -> None:
    draft = answered(SESSION, TASK, Answer(decision="skip", by=by), 10, 7)

    assert draft.events[0].data["by"] == kept


def test_a_round_that_has_made_no_attempt_is_not_passed_over() -> None:
    unpaid = msgspec.structs.replace(TASK, attempt=0)

    assert after(Answer(decision="retry"), unpaid).round == 2


@pytest.mark.parametrize(("decision", "state"), [("skip", "skipped"), ("give_up", "failed")])
def test_skipping_and_giving_up_end_the_task_unfulfilled(decision: str, state: str) -> None:
    task = after(Answer(decision=decision))  # type: ignore[arg-type] # parametrized

    assert (task.state, task.waits_for, task.finished_ms) == (state, "nothing", 10)
    assert not task.contract_fulfilled


def test_a_session_that_waited_runs_again_and_one_that_runs_is_left_alone() -> None:
    waiting = answered(SESSION, TASK, Answer(decision="retry"), 10, 7)
    running = msgspec.structs.replace(SESSION, state="running", error="")
    beside = answered(running, TASK, Answer(decision="retry"), 10, 7)

    assert [change.database for change in waiting.changes] == ["tasks", "sessions"]
    assert [change.database for change in beside.changes] == ["tasks"]


STATES: list[TaskState] = ["queued", "running", "waiting", "done", "skipped", "failed", "blocked"]


@pytest.mark.parametrize("state", STATES)
def test_only_a_task_that_waits_for_a_person_can_be_answered(state: TaskState) -> None:
    other = msgspec.structs.replace(TASK, state=state)

    with pytest.raises(HelpNotAwaited, match=f"it is '{state}'"):
        answered(SESSION, other, Answer(decision="retry"), 10, 7)


def test_a_task_whose_session_is_to_be_cancelled_takes_no_answer() -> None:
    session = msgspec.structs.replace(SESSION, wish="cancel")

    with pytest.raises(HelpNotAwaited, match="it is 'about to be cancelled'"):
        answered(session, TASK, Answer(decision="retry"), 10, 7)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            Answer(decision="retry", note="x" * (NOTE_CHARS_MAX + 1)),
            "the note of an answer must be at most 4000 characters, got 4001",
        ),
        (
            Answer(decision="retry", add_tokens=TOKENS_MAX + 1),
            "the tokens to add of an answer must be 0 to 1000000000000, got 1000000000001",
        ),
        (
            Answer(decision="skip", add_tokens=1),
            "the tokens to add of an answer must be 0 unless the task is retried, got skip",
        ),
    ],
)
def test_an_answer_out_of_bounds_is_refused(answer: Answer, text: str) -> None:
    with pytest.raises(AnswerInvalid) as caught:
        answered(SESSION, TASK, answer, 10, 7)

    assert str(caught.value) == text


def test_a_yes_to_an_open_question_fulfils_the_contract_and_to_nothing_else() -> None:
    asked = msgspec.structs.replace(TASK, failure="unanswered")

    task = after(Answer(decision="accept"), asked)

    assert (task.state, task.waits_for, task.contract_fulfilled) == ("done", "nothing", True)
    assert (task.failure, task.evidence) == ("", ())
    with pytest.raises(
        AnswerInvalid, match="retry, skip or give_up, as no question is open, got accept"
    ):
        answered(SESSION, TASK, Answer(decision="accept"), 10, 7)


SIZE = MinBytes(bytes=10, required=False)
NICE = Human(question="Nice?", name="taste")
LATER = Human(question="Ship it?", required=False)
CONTRACT = Contract(
    id="c1",
    name="c1",
    phase="build",
    provider_persona_id="dev",
    deliverables=(Deliverable(name="note", artifacts=("a.md",)),),
    checks=(SIZE, NICE, LATER),
)
FOUND = Checked(
    results=(
        CheckResult(
            index=0,
            name="min_bytes",
            kind="min_bytes",
            required=False,
            verdict="fail",
            score=0.0,
            expected="",
            got="",
        ),
        CheckResult(
            index=1,
            name="taste",
            kind="human",
            required=True,
            verdict="pending",
            score=0.0,
            expected="",
            got="no answer yet",
            evidence={"a.md": "00"},
        ),
        CheckResult(
            index=2,
            name="human",
            kind="human",
            required=False,
            verdict="pending",
            score=0.0,
            expected="",
            got="no answer yet",
        ),
    ),
    claimed_missing=("b.md",),
)


def test_a_yes_passes_the_checks_that_asked_for_it_with_who_said_so_and_the_note() -> None:
    unanswered = msgspec.structs.replace(TASK, failure="unanswered", quality_score=0.5)
    yes = Answer(decision="accept", by="ann", note="reads well")

    draft = answered(SESSION, unanswered, yes, 10, 7, Questions(contract=CONTRACT, found=FOUND))

    body = next(change.body for change in draft.changes if change.database == "tasks")
    assert body is not None
    task = msgspec.msgpack.decode(body, type=TaskRecord)
    (payload,) = draft.payloads
    stored = decode_checked(payload.content)
    size, nice, later = stored.results
    assert (nice.verdict, nice.score, nice.got) == ("pass", 1.0, "yes, said ann: reads well")
    assert nice.evidence == {"a.md": "00"}
    # What was not asked stays open, what failed stays failed.
    assert (size, later) == (FOUND.results[0], FOUND.results[2])
    assert stored.claimed_missing == ("b.md",)
    assert task.contract_fulfilled
    # A file and the answer against a size that is wrong; the open question is left out.
    assert task.quality_score == pytest.approx(2 / 3)
    (end,) = [event for event in draft.events if event.kind == "task_done"]
    assert end.data["quality_score"] == task.quality_score


def test_other_answers_leave_the_checks_as_they_were() -> None:
    unanswered = msgspec.structs.replace(TASK, failure="unanswered", checks=bytes(32))
    questions = Questions(contract=CONTRACT, found=FOUND)

    draft = answered(SESSION, unanswered, Answer(decision="skip"), 10, 7, questions)

    assert draft.payloads == ()


def test_a_question_that_no_attempt_was_checked_for_is_answered_all_the_same() -> None:
    team = Team(
        name="t", requirement="r", personas={}, phases=(Phase(name="p"),), contracts=(CONTRACT,)
    )
    unanswered = msgspec.structs.replace(TASK, failure="unanswered")

    questions = questions_of(team, unanswered, lambda _digest: b"")
    draft = answered(SESSION, unanswered, Answer(decision="accept"), 10, 7, questions)

    (payload,) = draft.payloads
    (nice,) = decode_checked(payload.content).results
    assert (nice.index, nice.verdict, nice.got) == (1, "pass", "yes")
