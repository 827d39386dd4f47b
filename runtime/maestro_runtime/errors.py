"""Errors of the runtime itself: what a caller asked for that cannot be."""

from typing import Final

PLACES_NAMED: Final = 10
"""Most counters that the message about an ambiguous budget lists."""


class RuntimeFault(Exception):
    """Root of the errors of this package that are not about a team file or an engine."""


class SessionConflict(RuntimeFault, ValueError):
    """A session of this name exists and was started with something else."""

    def __init__(self, session_id: str, what: str, stored: str, given: str) -> None:
        super().__init__(session_id, what, stored, given)
        self.session_id = session_id
        self.what = what
        self.stored = stored
        self.given = given

    def __str__(self) -> str:
        return (
            f"session {self.session_id!r} was started with {self.what} {self.stored!r}, "
            f"got {self.given!r}"
        )


class TeamChanged(SessionConflict):
    """A session was started with another team, and the change has not been accepted."""

    def __init__(self, session_id: str, differences: tuple[str, ...], ended_as: str = "") -> None:
        # The base has other fields, which would be passed to this class when it is unpickled.
        RuntimeFault.__init__(self, session_id, differences, ended_as)
        self.session_id = session_id
        self.differences = differences
        """One for each phase, contract or persona that was added or removed, and for each field
        that has another value, in words."""
        self.ended_as = ended_as
        """The state of a session that has ended: its team can be changed no more."""

    def __str__(self) -> str:
        listed = "\n".join(f"  {line}" for line in self.differences)
        rule = "what differs must be accepted"
        if self.ended_as:
            rule = f"is {self.ended_as}, so its team cannot be changed"
        return f"session {self.session_id!r} was started with another team, and {rule}:\n{listed}"


class SessionBusy(RuntimeFault):
    """A session runs, and what was asked for can only be done while it does not."""

    def __init__(self, session_id: str, what: str) -> None:
        super().__init__(session_id, what)
        self.session_id = session_id
        self.what = what

    def __str__(self) -> str:
        return f"session {self.session_id!r} must be paused before {self.what}, it is running"


class IdempotencyConflict(RuntimeFault, ValueError):
    """A session was started under this idempotency key with another input."""

    def __init__(self, key: str, session_id: str, difference: str) -> None:
        super().__init__(key, session_id, difference)
        self.key = key
        self.session_id = session_id
        self.difference = difference

    def __str__(self) -> str:
        return (
            f"idempotency key {self.key!r} belongs to session {self.session_id!r}, "
            f"and the input is another: {self.difference}"
        )


class IdempotencyKeyInvalid(RuntimeFault, ValueError):
    """An idempotency key does not have the form of one."""

    def __init__(self, key: str, rule: str) -> None:
        super().__init__(key, rule)
        self.key = key
        self.rule = rule

    def __str__(self) -> str:
        return f"an idempotency key {self.rule}, got {self.key!r}"


class SessionExists(RuntimeFault, ValueError):
    """A session that is to be created exists; it was left as it is."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id

    def __str__(self) -> str:
        return f"session {self.session_id!r} exists already"


class SessionNameInvalid(RuntimeFault, ValueError):
    """A session id does not have the form of one."""

    def __init__(self, session_id: str, rule: str) -> None:
        super().__init__(session_id, rule)
        self.session_id = session_id
        self.rule = rule

    def __str__(self) -> str:
        return f"a session id must match {self.rule}, got {self.session_id!r}"


class PriorityInvalid(RuntimeFault, ValueError):
    """The priority of a session is out of its bounds."""

    def __init__(self, priority: int, most: int) -> None:
        super().__init__(priority, most)
        self.priority = priority
        self.most = most

    def __str__(self) -> str:
        return f"a priority must be from -{self.most} to {self.most}, got {self.priority}"


class LabelInvalid(RuntimeFault, ValueError):
    """A label of a session breaks a rule, or there are too many."""

    def __init__(self, rule: str, given: str) -> None:
        super().__init__(rule, given)
        self.rule = rule
        self.given = given

    def __str__(self) -> str:
        return f"labels {self.rule}, got {self.given!r}"


class CursorInvalid(RuntimeFault, ValueError):
    """What is to begin a page of sessions is no cursor that ended one."""

    def __init__(self, cursor: str) -> None:
        super().__init__(cursor)
        self.cursor = cursor

    def __str__(self) -> str:
        return f"a cursor must be one that a list of sessions has ended with, got {self.cursor!r}"


class CheckpointNameInvalid(RuntimeFault, ValueError):
    """A checkpoint cannot have this name; none was written."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(name, rule)
        self.name = name
        self.rule = rule

    def __str__(self) -> str:
        return f"the name of a checkpoint must {self.rule}, got {self.name!r}"


class GivenMissing(RuntimeFault, ValueError):
    """A session was to start at a later phase, and files of the earlier ones are missing."""

    def __init__(
        self,
        start_at: str,
        missing: tuple[tuple[str, str, str], ...],
        refused: tuple[str, ...] = (),
    ) -> None:
        super().__init__(start_at, missing, refused)
        self.start_at = start_at
        self.missing = missing
        """Contract, deliverable and glob of each."""
        self.refused = refused
        """Files that match but are no artifacts, one sentence each."""

    def __str__(self) -> str:
        listed = "; ".join(
            f"contract {contract!r}, deliverable {deliverable!r}: no file matches {glob!r}"
            for contract, deliverable, glob in self.missing
        )
        refused = "".join(f"; {sentence}" for sentence in self.refused)
        return f"what comes before phase {self.start_at!r} must be given whole: {listed}{refused}"


class InputsInvalid(RuntimeFault, ValueError):
    """What a caller gives a session cannot be used; there is none."""

    def __init__(self, what: str, rule: str) -> None:
        super().__init__(what, rule)
        self.what = what
        self.rule = rule

    def __str__(self) -> str:
        return f"given {self.what} must {self.rule}"


class EngineNotReady(RuntimeFault):
    """An engine that a persona needs cannot work here; nothing was started."""

    def __init__(self, persona_id: str, engine: str, detail: str) -> None:
        super().__init__(persona_id, engine, detail)
        self.persona_id = persona_id
        self.engine = engine
        self.detail = detail

    def __str__(self) -> str:
        return f"engine {self.engine!r} of persona {self.persona_id!r} is not ready: {self.detail}"


class CheckNotReady(RuntimeFault):
    """A check of a contract can never be evaluated here; nothing was started."""

    def __init__(self, contract_id: str, check: str, detail: str) -> None:
        super().__init__(contract_id, check, detail)
        self.contract_id = contract_id
        self.check = check
        self.detail = detail
        """Why, and what to do about it."""

    def __str__(self) -> str:
        return (
            f"check {self.check!r} of contract {self.contract_id!r} cannot be evaluated here: "
            f"{self.detail}"
        )


class DirectoryUnusable(RuntimeFault, ValueError):
    """The input or output directory of a session cannot be used."""

    def __init__(self, role: str, path: str, reason: str) -> None:
        super().__init__(role, path, reason)
        self.role = role
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.role} directory {self.path!r} cannot be used: {self.reason}"


class HelpNeeded(RuntimeFault):
    """A task of a session has failed for good, or waits for a person."""

    def __init__(self, session_id: str, task_id: str, reference: str) -> None:
        super().__init__(session_id, task_id, reference)
        self.session_id = session_id
        self.task_id = task_id
        self.reference = reference
        """Of the ticket: a key, a path, the id of a message; empty if it is not delivered yet."""

    def __str__(self) -> str:
        ticket = f"see ticket {self.reference}" if self.reference else "its ticket is pending"
        return f"task {self.task_id!r} of session {self.session_id!r} needs help: {ticket}"


class RuntimeStopped(RuntimeFault):
    """The runtime was closed while a session was still running; the session can be resumed."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id

    def __str__(self) -> str:
        return f"the runtime stopped while session {self.session_id!r} was running"


class SessionOfParent(RuntimeFault):
    """A forked child waits for a session of its parent, and would wait for ever."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id

    def __str__(self) -> str:
        return f"session {self.session_id!r} is followed by the parent of this process, a fork"


class AdmissionRefused(RuntimeFault):
    """The runtime has no room for another session, not even to wait; nothing was written."""

    def __init__(self, reason: str, limit: int, retry_after_seconds: float) -> None:
        super().__init__(reason, limit, retry_after_seconds)
        self.reason = reason
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds
        """When it may be tried again: about as long as it takes until a session ends."""

    def __str__(self) -> str:
        return (
            f"no session is taken now: {self.reason}, the limit is {self.limit}; "
            f"try again after {self.retry_after_seconds:g} s"
        )


class RuntimeDraining(RuntimeFault):
    """The runtime comes to its end and takes no more sessions; nothing was started."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id

    def __str__(self) -> str:
        return (
            f"the runtime is stopping and takes no more work: session {self.session_id!r} "
            "can start or go on after its next start"
        )


class SafeMode(RuntimeFault):
    """A daemon has crashed too often, and runs nothing until a person has looked."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id

    def __str__(self) -> str:
        return (
            f"the daemon is in safe mode after several crashes: session {self.session_id!r} "
            "can start or go on once that is left"
        )


class SessionLeftAlone(RuntimeFault):
    """A session has work left, and the process that has the state does not go on with it."""

    def __init__(self, session_id: str, reason: str) -> None:
        super().__init__(session_id, reason)
        self.session_id = session_id
        self.reason = reason

    def __str__(self) -> str:
        return f"session {self.session_id!r} does not go on until it is resumed: {self.reason}"


class ActorFailed(RuntimeFault):
    """An actor that nothing may restart has failed: the runtime stopped, the state is intact."""

    def __init__(self, address: str, error: str) -> None:
        super().__init__(address, error)
        self.address = address
        self.error = error

    def __str__(self) -> str:
        return f"actor {self.address} failed: {self.error}"


class BudgetAmbiguous(RuntimeFault, ValueError):
    """A budget counts several apart, and it was not said which of its counters is meant."""

    def __init__(self, budget_id: str, places: tuple[tuple[str, str, str], ...]) -> None:
        super().__init__(budget_id, places)
        self.budget_id = budget_id
        self.places = places
        """Session, subject and rule of each; a session or subject that tells nothing is empty."""

    def __str__(self) -> str:
        listed = "; ".join(
            ", ".join(
                f"{what} {name!r}"
                for what, name in zip(("session", "subject", "rule"), place, strict=True)
                if name
            )
            for place in self.places[:PLACES_NAMED]
        )
        left_out = len(self.places) - PLACES_NAMED
        more = f" and {left_out} more" if left_out > 0 else ""
        return f"budget {self.budget_id!r} must mean one counter, it has {listed}{more}"


class RequestIdInvalid(RuntimeFault, ValueError):
    """The id of an order breaks a rule; nothing was done."""

    def __init__(self, request_id: str, rule: str) -> None:
        super().__init__(request_id, rule)
        self.request_id = request_id
        """In hex digits."""
        self.rule = rule

    def __str__(self) -> str:
        return f"request id {self.request_id!r} {self.rule}"
