"""The sessions of a state and their forks: what each kept, held against the histories of all."""

from dataclasses import dataclass

import msgspec

from lineage import Lineage, Passed
from maestro_actors.sessions.summary import decode_summary
from maestro_actors.team import Team, decode_team
from maestro_storage import StateView
from maestro_storage.records import CheckpointRecord, SessionRecord, TaskState


@dataclass(frozen=True)
class Result:
    """What a task has come to that lets its dependents run."""

    state: TaskState
    tokens: int
    """In whichever sessions they were spent."""
    call_id: bytes
    """Of the last attempt at it."""


@dataclass(frozen=True)
class Member:
    """One session, as its history and that of its original say it is."""

    record: SessionRecord
    team: Team
    lineage: Lineage
    kept: dict[str, Result]
    """What the checkpoint has that it began with."""


class Family:
    """All sessions of a state; AssertionError if one has broken the rules of its lineage."""

    def __init__(self, store: StateView) -> None:
        self._store = store
        self.members: dict[str, Member] = {}
        for record in store.sessions.scan():
            self._member(record.session_id)

    def check(self) -> None:
        """Hold the records of each session against the histories."""
        for member in self.members.values():
            self._check_tasks(member)
            self._check_team(member)
            rows = list(self._store.checkpoints.scan(member.record.session_id))
            assert [row.phase for row in rows if not row.on_demand] == [
                "init",
                *member.lineage.over,
            ]
            for row in rows:
                self._passed_by(row, member.lineage)

    def results(self, member: Member) -> dict[str, Result]:
        """Return what each task of a session that has passed has come to."""
        passed = member.lineage.passed
        return {task_id: self._result(member, task_id, how) for task_id, how in passed.items()}

    def _member(self, session_id: str) -> Member:
        if session_id in self.members:
            return self.members[session_id]
        record = self._store.require_session(session_id)
        passed: dict[str, Passed] = {}
        kept: dict[str, Result] = {}
        if record.origin_session:
            origin = self._member(record.origin_session)
            # The one that it was forked from may be gone, but its first one has the same tasks.
            first = self._store.checkpoints.get(session_id, 1)
            assert first is not None
            begun = msgspec.structs.replace(first, number=record.origin_checkpoint)
            passed = self._passed_by(begun, origin.lineage)
            kept = {name: self._result(origin, name, how) for name, how in passed.items()}
        team = decode_team(self._store.payloads.require(record.team))
        lineage = Lineage(team, {phase.name for phase in team.phases}, passed)
        for event in self._store.events.scan(session_id):
            lineage.observe(event)
        self.members[session_id] = Member(record, team, lineage, kept)
        return self.members[session_id]

    def _passed_by(self, row: CheckpointRecord, lineage: Lineage) -> dict[str, Passed]:
        """Return what a checkpoint has of what had passed by then.

        A task that ended while it was drafted may be missing.
        """
        assert row.number in lineage.then, f"{row} is not in the history"
        then = lineage.then[row.number]
        summary = decode_summary(self._store.payloads.require(row.summary))
        has = {name: task.state for name, task in summary.items() if task.state in _PASSED}
        assert lineage.known[row.number] <= has.keys(), f"{row} has only {has}"
        assert has.items() <= {name: how.state for name, how in then.items()}.items()
        return {name: then[name] for name in has}

    def _result(self, member: Member, task_id: str, how: Passed) -> Result:
        if how.attempts == 0:
            return member.kept[task_id]
        session_id = member.record.session_id
        before = member.kept.get(task_id)
        tokens = 0 if before is None else before.tokens
        attempts = [
            attempt
            for attempt in self._store.attempts.scan(session_id)
            if attempt.task_id == task_id and attempt.ordinal <= how.attempts
        ]
        for attempt in attempts:
            call = self._store.calls.get(session_id, attempt.call_id)
            assert call is not None, f"{attempt} has no call"
            tokens += call.input_tokens + call.output_tokens
        assert (attempts[-1].state == "ok") == (how.state == "done"), f"{attempts[-1]}"
        return Result(how.state, tokens, attempts[-1].call_id)

    def _check_tasks(self, member: Member) -> None:
        """What was kept never ran here, and what it cost is booked where it ran."""
        lineage, session_id = member.lineage, member.record.session_id
        tasks = {task.task_id: task for task in self._store.tasks.scan(session_id)}
        passed = {name: row.state for name, row in tasks.items() if row.state in _PASSED}
        assert passed == {name: how.state for name, how in lineage.passed.items()}
        for name, task in tasks.items():
            kept = member.kept.get(name)
            assert task.tokens_kept == (0 if kept is None else kept.tokens), f"{task}"
            assert task.ordinal == lineage.begun[name], f"{task}"
        called = {call.task_id for call in self._store.calls.scan(session_id)}
        assert not called & lineage.kept, "a task that was kept has run again"
        if lineage.cancelled:
            assert member.record.state == "cancelled"

    def _check_team(self, member: Member) -> None:
        """A fork has the team of its original, but perhaps for the requirement."""
        if member.record.origin_session:
            origin = self.members[member.record.origin_session].team
            assert member.team.requirement in {
                origin.requirement,
                requirement_of(member.record.session_id),
            }
            assert member.team == msgspec.structs.replace(
                origin, requirement=member.team.requirement
            )


def requirement_of(session_id: str) -> str:
    """Return what a fork is to fulfil if it is given a requirement of its own."""
    return f"survive as {session_id}"


_PASSED = frozenset({"done", "skipped"})
