"""Errors of the actors, split by who can act on them."""

import datetime as dt

from maestro_actors.ledger.amounts import Metric
from maestro_actors.ledger.money import usd


class ActorError(Exception):
    """Root of the errors of this package."""


class MessageTooLarge(ActorError, ValueError):
    """A message is larger than an actor accepts; it was not sent."""

    def __init__(self, kind: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(kind, size_bytes, limit_bytes)
        self.kind = kind
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        return (
            f"message {self.kind} must have at most {self.limit_bytes} bytes, got {self.size_bytes}"
        )


class TokenBudgetExceeded(ActorError):
    """A budget cannot pay for another call of a persona.

    Never retried and never counted by a circuit breaker. The figures are in units of the budget's
    metric; `need` is None for a call without a price under a budget that counts money.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the fields are the args, or it would not survive pickling
        self,
        persona_id: str,
        limit: int,
        spent: int,
        held: int,
        need: int | None,
        budget_id: str = "",
        resets_at_ms: int | None = None,
        metric: Metric = "total",
    ) -> None:
        """Name a budget by its id; an empty one is the token budget of the persona."""
        super().__init__(persona_id, limit, spent, held, need, budget_id, resets_at_ms, metric)
        self.persona_id = persona_id
        self.limit = limit
        self.spent = spent
        self.held = held
        self.need = need
        self.budget_id = budget_id
        self.resets_at_ms = resets_at_ms
        """When the budget's next window begins (wall clock); None if it has no other."""
        self.metric = metric

    def __str__(self) -> str:
        what = (
            f"budget {self.budget_id!r} cannot pay for another call of persona {self.persona_id!r}"
            if self.budget_id
            else f"token budget of persona {self.persona_id!r} cannot pay for another call"
        )
        limit, spent, held = map(self._figure, (self.limit, self.spent, self.held))
        need = "an unknown price" if self.need is None else self._figure(self.need)
        figures = f"limit {limit}, spent {spent}, reserved {held}, needed {need}"
        if self.resets_at_ms is None:
            return f"{what}: {figures}"
        at = dt.datetime.fromtimestamp(self.resets_at_ms / 1000, dt.UTC)
        return f"{what}: {figures}; it begins anew at {at.isoformat(timespec='seconds')}"

    def _figure(self, amount: int) -> str:
        return f"{usd(amount)} USD" if self.metric == "money" else str(amount)


class UsageInvalid(ActorError, ValueError):
    """What a call is said to have used cannot be."""

    def __init__(self, name: str, rule: str, given: object) -> None:
        super().__init__(name, rule, given)
        self.name = name
        self.rule = rule
        self.given = given

    def __str__(self) -> str:
        return f"{self.name} {self.rule}, got {self.given!r}"


class InternalError(ActorError):
    """A rule of the runtime itself was broken: our bug, never the caller's."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"internal error: {self.what}"


class AnswerInvalid(ActorError, ValueError):
    """An answer to a task that needs help breaks a rule; nothing was changed."""

    def __init__(self, what: str, rule: str, got: str) -> None:
        super().__init__(what, rule, got)
        self.what = what
        self.rule = rule
        self.got = got

    def __str__(self) -> str:
        return f"the {self.what} of an answer must be {self.rule}, got {self.got}"


class VerbRefused(ActorError):
    """A session or task is not in a state that a verb fits; nothing was changed."""

    def __init__(
        self, verb: str, session_id: str, state: str, rule: str, task_id: str = ""
    ) -> None:
        super().__init__(verb, session_id, state, rule, task_id)
        self.verb = verb
        self.session_id = session_id
        self.state = state
        self.rule = rule
        self.task_id = task_id

    def __str__(self) -> str:
        task = f"task {self.task_id!r} of " if self.task_id else ""
        return (
            f"cannot {self.verb} {task}session {self.session_id!r}: {self.rule}, "
            f"it is {self.state!r}"
        )


class HelpNotAwaited(ActorError):
    """A task was answered that does not wait for a person; nothing was changed."""

    def __init__(self, session_id: str, task_id: str, state: str) -> None:
        super().__init__(session_id, task_id, state)
        self.session_id = session_id
        self.task_id = task_id
        self.state = state

    def __str__(self) -> str:
        return (
            f"task {self.task_id!r} of session {self.session_id!r} must wait for a person to be "
            f"answered, it is {self.state!r}"
        )


class TeamChangeRefused(ActorError, ValueError):
    """The team of a session cannot become another one; nothing was changed."""

    def __init__(self, session_id: str, reason: str) -> None:
        super().__init__(session_id, reason)
        self.session_id = session_id
        self.reason = reason

    def __str__(self) -> str:
        return f"team of session {self.session_id!r} cannot be changed: {self.reason}"


class PlanInvalid(ActorError, ValueError):
    """A plan names what is not there, or a phase twice; nothing was changed."""

    def __init__(self, what: str, rule: str) -> None:
        super().__init__(what, rule)
        self.what = what
        """The phase or the stretch."""
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.what} of a plan {self.rule}"


class PhaseNotReady(ActorError, ValueError):
    """A phase was to run before those it comes after; nothing was changed."""

    def __init__(self, phase: str, missing: tuple[str, ...]) -> None:
        super().__init__(phase, missing)
        self.phase = phase
        self.missing = missing
        """Phases that are neither done nor planned by then."""

    def __str__(self) -> str:
        missing = ", ".join(repr(name) for name in self.missing)
        return f"phase {self.phase!r} must come after {missing}, neither done nor planned by then"


class PhaseConflict(ActorError):
    """A phase was to run that somebody has running already; nothing was changed."""

    def __init__(self, session_id: str, phase: str, runs: str) -> None:
        super().__init__(session_id, phase, runs)
        self.session_id = session_id
        self.phase = phase
        self.runs = runs
        """What runs it, in words."""

    def __str__(self) -> str:
        return f"phase {self.phase!r} of session {self.session_id!r} runs already {self.runs}"


class LimitInvalid(ActorError, ValueError):
    """A limit on sessions or calls breaks its rule."""

    def __init__(self, what: str, rule: str, given: int) -> None:
        super().__init__(what, rule, given)
        self.what = what
        self.rule = rule
        self.given = given

    def __str__(self) -> str:
        return f"limit {self.what} {self.rule}, got {self.given}"
