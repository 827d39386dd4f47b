"""What can go wrong at the two levels, and how work says which of its failures may pass."""

from typing import TYPE_CHECKING

from maestro_runtime.engines.errors import Permanent, Transient
from maestro_runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from maestro_runtime.executors.result import PersonaResult


class RecoverableError(Transient):
    """Raised by work: this attempt has failed, the next one may not.

    It speaks against the work, whose circuit breaker counts it.
    """

    what = "work failed"


class UnrecoverableError(Permanent):
    """Raised by work: no attempt can succeed. Raised by level 1: it has given up."""

    what = "work cannot succeed"
    result: "PersonaResult | None" = None
    """What there was when level 1 gave up; None in one that work raises."""


class WorkNotImportable(RuntimeFault, ValueError):
    """A function cannot be found again by its name, so no later process could go on with it."""

    def __init__(self, work: str) -> None:
        super().__init__(work)
        self.work = work

    def __str__(self) -> str:
        return f"work must be a function of a module, found by its name, got {self.work}"


class ContractNotOwn(RuntimeFault, ValueError):
    """A persona was given a contract that another one is to fulfil; nothing was started."""

    def __init__(self, persona_id: str, contract_id: str, provider_persona_id: str) -> None:
        super().__init__(persona_id, contract_id, provider_persona_id)
        self.persona_id = persona_id
        self.contract_id = contract_id
        self.provider_persona_id = provider_persona_id

    def __str__(self) -> str:
        return (
            f"contract {self.contract_id!r} must be provided by persona {self.persona_id!r}, "
            f"got {self.provider_persona_id!r}"
        )


class StateKeyInvalid(RuntimeFault, ValueError):
    """A value was to be kept under what is no key; nothing was changed."""

    def __init__(self, key: str, rule: str) -> None:
        super().__init__(key, rule)
        self.key = key
        self.rule = rule

    def __str__(self) -> str:
        return f"the key of a value must have {self.rule}, got {self.key!r}"


class StateValueInvalid(RuntimeFault, ValueError):
    """A value is not JSON, or too large; nothing was changed."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"the value of {self.key!r} must be JSON: {self.reason}"


class StateManagerConflict(RuntimeFault, ValueError):
    """There is a manager of this state directory, and it persists otherwise."""

    def __init__(self, state_dir: str, auto_persist: bool) -> None:
        super().__init__(state_dir, auto_persist)
        self.state_dir = state_dir
        self.auto_persist = auto_persist

    def __str__(self) -> str:
        return (
            f"the state manager of {self.state_dir!r} was made with "
            f"auto_persist={not self.auto_persist}, got {self.auto_persist}"
        )
