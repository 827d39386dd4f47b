"""Errors of the ledger: definitions that cannot be counted, calls that are not what was said."""

from maestro_actors.errors import ActorError


class BudgetInvalid(ActorError, ValueError):
    """A field of a budget breaks its rule."""

    def __init__(self, budget_id: str, field: str, rule: str, given: object) -> None:
        super().__init__(budget_id, field, rule, given)
        self.budget_id = budget_id
        self.field = field
        self.rule = rule
        self.given = given

    def __str__(self) -> str:
        return f"{self.field} of budget {self.budget_id!r} {self.rule}, got {self.given!r}"


class LedgerConflict(ActorError, ValueError):
    """A call or a budget is used for what it is not."""

    def __init__(self, what: str, rule: str) -> None:
        super().__init__(what, rule)
        self.what = what
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.what} {self.rule}"


class PriceTableInvalid(ActorError, ValueError):
    """A price table is not one."""

    def __init__(self, place: str, rule: str, given: object) -> None:
        super().__init__(place, rule, given)
        self.place = place
        self.rule = rule
        self.given = given

    def __str__(self) -> str:
        return f"price table: {self.place} {self.rule}, got {self.given!r}"
