"""Errors of the actors, split by who can act on them."""


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
    """The budget of a persona cannot pay for another call.

    Never retried and never counted by a circuit breaker.
    """

    def __init__(self, persona_id: str, limit: int, spent: int, held: int, need: int) -> None:
        super().__init__(persona_id, limit, spent, held, need)
        self.persona_id = persona_id
        self.limit = limit
        self.spent = spent
        self.held = held
        self.need = need

    def __str__(self) -> str:
        return (
            f"token budget of persona {self.persona_id!r} cannot pay for another call: "
            f"limit {self.limit}, spent {self.spent}, reserved {self.held}, needed {self.need}"
        )


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
