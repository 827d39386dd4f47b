"""What the next attempt is told, and asked for, after a failure: strategies by failure class.

A strategy sees one failed attempt and may add advice to the feedback of the next one, or narrow
what that one owes. It repairs no file; that is done, before an attempt is judged, by the runtime.
"""

from collections.abc import Iterable
from typing import ClassVar, Final, Protocol

import msgspec

from maestro_actors.engine import FailureClass, Outcome
from maestro_actors.tasks.diagnosis import Diagnosis, capped
from maestro_actors.team import Contract
from maestro_actors.text import storable
from maestro_storage.records import TaskRecord

SENTENCE_CHARACTERS_MAX: Final = 4_000
"""Longest sentence of advice, and of what was tried."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A failed attempt that another one may follow."""

    contract: Contract
    outcome: Outcome
    failure: FailureClass
    reasons: tuple[str, ...]
    """Of the diagnosis; they are told to the next attempt anyhow."""
    known: tuple[str, ...]
    """What attempts before this one were found to lack, and what they were advised."""
    scope: tuple[str, ...]
    """Globs that this attempt was asked for; empty for all of the contract."""


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy does about a case."""

    advice: tuple[str, ...] = ()
    """Told to the next attempt before the reasons, one sentence each."""
    scope: tuple[str, ...] = ()
    """Globs of the contract that the next attempt still owes; empty for no opinion."""
    detail: str = ""
    """Recorded with the name of the strategy, for people."""


class Strategy(Protocol):
    """One way to make the next attempt better than the last.

    It is asked within an actor's turn: it must be pure and quick. One that raises is passed over,
    and that is recorded.
    """

    @property
    def name(self) -> str:
        """Recorded with the attempt after which it was used."""

    @property
    def failures(self) -> frozenset[FailureClass]:
        """Classes that it is asked about."""

    def remedy(self, case: Case) -> Remedy | None:
        """Return what to do; None to stay out of it."""


class Treatment(msgspec.Struct, frozen=True, kw_only=True):
    """All remedies of a case together."""

    advice: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    """Names of the strategies that did something, each with its detail."""


class KeepFeedback:
    """Repeats what is known when an attempt ended before it could act on it."""

    name: ClassVar = "keep_feedback"
    failures: ClassVar[frozenset[FailureClass]] = frozenset(
        {"transient", "rate_limited", "interrupted", "malformed_output"}
    )

    def remedy(self, case: Case) -> Remedy | None:
        """Carry advice and scope over, if there is something to carry."""
        if not case.known and not case.scope:
            return None
        return Remedy(advice=case.known, scope=case.scope)


class NarrowScope:
    """Asks only for what is missing, if nothing is wrong with the rest."""

    name: ClassVar = "narrow_scope"
    failures: ClassVar[frozenset[FailureClass]] = frozenset({"missing_deliverable"})

    def remedy(self, case: Case) -> Remedy | None:
        """Return the globs without a file, unless a required check faults other files."""
        missing = frozenset(case.outcome.missing)
        if not missing or missing.issuperset(case.contract.globs):
            return None
        owed = case.contract.owed_checks
        at_fault = {
            glob
            for result in case.outcome.checks
            if result.required and result.verdict in ("fail", "error")
            for glob in owed[result.index][1]
        }
        if not missing.issuperset(at_fault):
            return None
        scope = tuple(glob for glob in case.contract.globs if glob in missing)
        return Remedy(scope=scope, detail=", ".join(map(repr, scope)))


class ChangeApproach:
    """Asks for another way once the same has been done twice."""

    name: ClassVar = "change_approach"
    failures: ClassVar[frozenset[FailureClass]] = frozenset({"stuck"})

    def remedy(self, case: Case) -> Remedy | None:  # noqa: ARG002 - being stuck is all there is to know
        """Say so; the next round is asked for everything again."""
        return Remedy(advice=("two attempts came to the same: do it in another way",))


BUILT_IN: Final[tuple[Strategy, ...]] = (KeepFeedback(), NarrowScope(), ChangeApproach())

_SILENT: Final = KeepFeedback.failures
"""Classes that say nothing about the work: what was known before them still holds."""


def known_of(record: TaskRecord) -> tuple[str, ...]:
    """Return what a task's last attempt was told about the work, its own failure aside."""
    if record.failure in _SILENT:
        return record.advice
    return capped((*record.advice, *record.evidence))


def case_of(contract: Contract, outcome: Outcome, found: Diagnosis, running: TaskRecord) -> Case:
    """Return the case of the attempt of `running`, whose diagnosis names a failure."""
    return Case(
        contract=contract,
        outcome=outcome,
        failure=found.failure or "transient",
        reasons=found.reasons,
        known=known_of(running),
        scope=running.scope,
    )


def healed(
    after: TaskRecord, case: Case, strategies: Iterable[Strategy]
) -> tuple[TaskRecord, tuple[str, ...]]:
    """Return a task's record with what healing wants of its next attempt, and what it has tried.

    Of a task that is not tried again only the advice is kept: the attempt that a person may grant
    is asked for everything.
    """
    treatment = treat(strategies, case)
    if after.state != "waiting":
        return msgspec.structs.replace(after, advice=treatment.advice, scope=()), ()
    treated = msgspec.structs.replace(after, advice=treatment.advice, scope=treatment.scope)
    return treated, treatment.tried


def treat(strategies: Iterable[Strategy], case: Case) -> Treatment:
    """Ask every strategy for the class of a failure, in order; the first scope counts."""
    advice: dict[str, None] = {}
    scope: tuple[str, ...] = ()
    tried = []
    for strategy in strategies:
        try:
            if case.failure not in strategy.failures:
                continue
            remedy = strategy.remedy(case)
            if remedy is None:
                continue
            sentences = dict.fromkeys(
                storable(str(text), SENTENCE_CHARACTERS_MAX) for text in remedy.advice
            )
            chosen = _owed(case.contract, remedy.scope)
        except Exception as error:  # noqa: BLE001 - foreign code; the task goes on without it
            failure = f"{strategy.name} failed: {type(error).__name__}: {error}"
            tried.append(storable(failure, SENTENCE_CHARACTERS_MAX))
            continue
        advice |= sentences
        scope = scope or chosen
        done = f"{strategy.name}: {remedy.detail}" if remedy.detail else strategy.name
        tried.append(storable(done, SENTENCE_CHARACTERS_MAX))
    return Treatment(advice=capped(tuple(advice)), scope=scope, tried=tuple(tried))


def _owed(contract: Contract, scope: Iterable[str]) -> tuple[str, ...]:
    """Return the globs of a contract that are in a scope; none if those are all."""
    wanted = frozenset(scope)
    owed = tuple(glob for glob in contract.globs if glob in wanted)
    return () if owed == contract.globs else owed
