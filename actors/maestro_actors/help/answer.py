"""A person's answer to a task that needs help, and what becomes durable by it."""

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from maestro_actors.checks import Checked, decode_checked, encode_checked
from maestro_actors.errors import AnswerInvalid, HelpNotAwaited
from maestro_actors.tasks.contracts import accepted
from maestro_actors.team import Contract, Team
from maestro_actors.text import WHO_CHARACTERS_MAX, storable
from maestro_actors.verbs.rework import next_round
from maestro_storage.records import SessionRecord, TaskRecord, TaskState
from maestro_storage.transition import Event, Transition

NOTE_CHARS_MAX: Final = 4_000
"""Longest note, in characters."""

NOTES_MAX: Final = 20
"""Notes kept for a task, the last ones."""

TOKENS_MAX: Final = 10**12
"""Most tokens one answer may add to a budget."""

_EVENT_NOTE_CHARS: Final = 200
"""Characters of a note that the history repeats; the whole note is in the task's record."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decides about a task that needs help."""

    decision: Literal["retry", "accept", "skip", "give_up"]
    """retry: one more round of attempts. accept: yes to the questions of the contract's checks,
    which fulfils it. skip: dependents run as if the task were done. give_up: the task has failed,
    and what depends on it is blocked."""
    note: str = ""
    """Added to the feedback of every further attempt; at most 4,000 characters."""
    add_tokens: int = 0
    """Added to the persona's budget in this session; only with "retry"."""
    by: str = ""
    """Who answers, for the history, which keeps 200 characters."""

    @property
    def words(self) -> str:
        """The answer in a line: what was decided, by whom, and the note."""
        decision = "yes" if self.decision == "accept" else self.decision.replace("_", " ")
        by = f", said {self.by}" if self.by else ""
        return f"{decision}{by}: {self.note}" if self.note else f"{decision}{by}"

    def checked(self) -> "Answer":
        """Return the answer, if it is one.

        Raises:
            AnswerInvalid: The note is too long, or the tokens are out of bounds.
        """
        if len(self.note) > NOTE_CHARS_MAX:
            rule = f"at most {NOTE_CHARS_MAX} characters"
            raise AnswerInvalid("note", rule, f"{len(self.note)}")
        if not 0 <= self.add_tokens <= TOKENS_MAX:
            raise AnswerInvalid("tokens to add", f"0 to {TOKENS_MAX}", f"{self.add_tokens}")
        if self.add_tokens and self.decision != "retry":
            raise AnswerInvalid("tokens to add", "0 unless the task is retried", self.decision)
        return self


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """What a person who accepts says yes to."""

    contract: Contract
    found: Checked
    """Of the attempt that left the questions open."""


def questions_of(team: Team, task: TaskRecord, payload: Callable[[bytes], bytes]) -> Questions:
    """Return what a task asked for and what was found.

    Args:
        team: Of its session.
        task: Whose contract it is.
        payload: Returns a payload by its digest.
    """
    return Questions(
        contract=next(contract for contract in team.contracts if contract.id == task.task_id),
        found=Checked() if task.checks is None else decode_checked(payload(task.checks)),
    )


def answered(
    session: SessionRecord,
    task: TaskRecord,
    answer: Answer,
    now_ms: int,
    epoch: int,
    questions: Questions | None = None,
) -> Transition:
    """Return the transition that applies an answer; a raised budget is to be added to it.

    A session that had stopped for want of an answer is running again after it, and goes on when it
    is resumed.

    Args:
        session: Whose task it is.
        task: As it is durable now.
        answer: What the person decides.
        now_ms: Wall clock.
        epoch: Start of the state directory that writes the records.
        questions: The open questions, whose checks pass if they are accepted.

    Raises:
        AnswerInvalid: See `Answer.checked`; or no question is open that could be accepted.
        HelpNotAwaited: The task does not wait for a person, or no longer.
    """
    _require_awaited(session, task, answer)
    draft = Transition()
    after = _decided(task, answer, now_ms, epoch)
    if answer.decision == "accept" and questions is not None:
        found, quality = accepted(questions.contract, questions.found, answer.words)
        digest = draft.payload(task.session_id, encode_checked(found))
        after = msgspec.structs.replace(after, checks=digest, quality_score=quality)
    draft.put(after)
    draft.event(_told(task, answer, now_ms))
    if after.state != "queued":
        draft.event(_end(after, now_ms))
    if session.state == "help_needed":
        draft.put(
            msgspec.structs.replace(
                session, state="running", updated_ms=now_ms, error="", epoch=epoch
            )
        )
    return draft


def _require_awaited(session: SessionRecord, task: TaskRecord, answer: Answer) -> None:
    answer.checked()
    if task.state != "help_needed":
        raise HelpNotAwaited(task.session_id, task.task_id, task.state)
    if session.wish == "cancel":
        raise HelpNotAwaited(task.session_id, task.task_id, "about to be cancelled")
    if answer.decision == "accept" and task.failure != "unanswered":
        # Only with an open question has everything else been fulfilled.
        raise AnswerInvalid("decision", "retry, skip or give_up, as no question is open", "accept")


def _decided(task: TaskRecord, answer: Answer, now_ms: int, epoch: int) -> TaskRecord:
    notes = (*task.notes, answer.note)[-NOTES_MAX:] if answer.note else task.notes
    if answer.decision == "retry":
        return msgspec.structs.replace(next_round(task, epoch), notes=notes)
    states: dict[str, TaskState] = {"accept": "done", "skip": "skipped", "give_up": "failed"}
    accepted = answer.decision == "accept"
    return msgspec.structs.replace(
        task,
        state=states[answer.decision],
        waits_for="nothing",
        contract_fulfilled=accepted,
        failure="" if accepted else task.failure,
        evidence=() if accepted else task.evidence,
        finished_ms=now_ms,
        notes=notes,
        epoch=epoch,
    )


def _told(task: TaskRecord, answer: Answer, now_ms: int) -> Event:
    return Event(
        task.session_id,
        "task_answered",
        now_ms,
        task.task_id,
        {
            "persona_id": task.persona_id,
            "answer": answer.decision,
            "note": answer.note[:_EVENT_NOTE_CHARS],
            "add_tokens": answer.add_tokens,
            "by": storable(answer.by, WHO_CHARACTERS_MAX),
        },
    )


def _end(after: TaskRecord, now_ms: int) -> Event:
    return Event(
        after.session_id,
        f"task_{after.state}",
        now_ms,
        after.task_id,
        {
            "persona_id": after.persona_id,
            "tokens": after.tokens_used,
            "quality_score": after.quality_score,
            "failure": after.failure,
            "evidence": after.evidence[0] if after.evidence else "",
        },
    )
