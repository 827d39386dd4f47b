"""Budgets: which calls they count, how, for how long, and what happens at the limit."""

import datetime as dt
import functools
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from maestro_actors.ledger.amounts import Metric
from maestro_actors.ledger.errors import BudgetInvalid

Scope = Literal["global", "persona", "session", "phase", "contract", "model", "engine", "tag"]
Action = Literal["deny", "park", "warn"]
"""At the limit: refuse the call, let it wait for more, or only count and raise alerts."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
WINDOWS: Final = ("session", "hour", "day", "week", "month", "rolling:<seconds>", "forever")

SECOND_MS: Final = 1_000
HOUR_MS: Final = 3_600 * SECOND_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS
ROLLING: Final = "rolling:"
ROLLING_SECONDS_MAX: Final = 366 * 86_400
ROLLING_STEPS: Final = 60
"""A rolling window moves in this many steps, so it forgets up to a 60th of itself too late."""

_FIXED_MS: Final = {"hour": HOUR_MS, "day": DAY_MS}
_EPOCH_WEEKDAY: Final = 3
"""1 January 1970 was a Thursday; weeks begin on Monday."""
_EPOCH_ORDINAL: Final = dt.date(1970, 1, 1).toordinal()


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A limit on what a set of calls may take in a window of time.

    Raises:
        BudgetInvalid: A field breaks its rule.
    """

    id: str
    """Counters are kept by id: budgets of the same id, window and metric share them."""
    scope: Scope = "global"
    value: str = ""
    """The one persona, phase ... or tag that is counted. Empty: each is counted by itself."""
    window: str = "session"
    """One of `WINDOWS`. Hours to months are those of UTC, weeks begin on Monday."""
    metric: Metric = "total"
    limit: int
    """In units of the metric; at least 1."""
    action: Action = "deny"
    alert_permille: tuple[int, ...] = (500, 800, 950, 1000)
    """Shares of the limit, in thousandths, at which an alert is raised."""
    version: int = 1
    """A higher one raises the alerts of the running window once more."""

    def __post_init__(self) -> None:
        """Refuse what could not be counted."""
        if not self.id:
            raise BudgetInvalid(self.id, "id", "must not be empty", self.id)
        if self.limit < 1:
            raise BudgetInvalid(self.id, "limit", "must be at least 1", self.limit)
        if self.scope == "tag" and not self.value:
            raise BudgetInvalid(self.id, "value", "must name the tag", self.value)
        if self.scope in ("global", "session") and self.value:
            raise BudgetInvalid(self.id, "value", f"has no place in scope {self.scope}", self.value)
        if self.window not in WINDOWS and not _is_rolling(self.window):
            rule = f"must be one of {', '.join(WINDOWS)}"
            raise BudgetInvalid(self.id, "window", rule, self.window)
        if any(share < 1 for share in self.alert_permille):
            raise BudgetInvalid(self.id, "thresholds", "must be above 0", self.alert_permille)


class Caller(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who makes a call: everything a scope can look at."""

    session_id: str
    persona_id: str
    phase: str = ""
    contract_id: str = ""
    engine: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()


class Span(NamedTuple):
    """A window of time, from the wall clock in UTC."""

    start_ms: int
    end_ms: int | None
    """Its first millisecond that is outside; None if it does not end."""


_ALWAYS: Final = Span(0, None)


def subject_of(budget: Budget, caller: Caller) -> str | None:
    """Return whom a budget counts the call for, None if it does not count it."""
    match budget.scope:
        case "global":
            return ""
        case "tag":
            return budget.value if budget.value in caller.tags else None
        case "persona":
            name = caller.persona_id
        case "session":
            name = caller.session_id
        case "phase":
            name = caller.phase
        case "contract":
            name = caller.contract_id
        case "model":
            name = caller.model
        case "engine":
            name = caller.engine
    # A call that names no model, say, is in no model's budget.
    return name if name and budget.value in ("", name) else None


@functools.lru_cache(maxsize=256)
def rolling_ms(window: str) -> int:
    """Return the length of a rolling window, 0 for any other."""
    return int(window.removeprefix(ROLLING)) * SECOND_MS if window.startswith(ROLLING) else 0


def span_of(window: str, now_ms: int) -> Span:
    """Return the window that an instant lies in; of a rolling one, the step."""
    if fixed_ms := _FIXED_MS.get(window):
        start_ms = now_ms - now_ms % fixed_ms
        return Span(start_ms, start_ms + fixed_ms)
    if window == "week":
        start_ms = now_ms - (now_ms + _EPOCH_WEEKDAY * DAY_MS) % WEEK_MS
        # Keys hold no negative instants, and the epoch lies within a week.
        return Span(max(0, start_ms), start_ms + WEEK_MS)
    if window == "month":
        first = dt.date.fromordinal(_EPOCH_ORDINAL + now_ms // DAY_MS).replace(day=1)
        after = (first + dt.timedelta(days=31)).replace(day=1)
        return Span(_midnight_ms(first), _midnight_ms(after))
    if length_ms := rolling_ms(window):
        step_ms = rolling_step_ms(length_ms)
        start_ms = now_ms - now_ms % step_ms
        return Span(start_ms, start_ms + step_ms)
    return _ALWAYS


def rolling_step_ms(length_ms: int) -> int:
    """Return the length of one step of a rolling window, rounded up."""
    return -(-length_ms // ROLLING_STEPS)


def _midnight_ms(day: dt.date) -> int:
    return (day.toordinal() - _EPOCH_ORDINAL) * DAY_MS


def _is_rolling(window: str) -> bool:
    seconds = window.removeprefix(ROLLING)
    return (
        window.startswith(ROLLING)
        and seconds.isascii()
        and seconds.isdecimal()
        and len(seconds) <= len(str(ROLLING_SECONDS_MAX))
        and 1 <= int(seconds) <= ROLLING_SECONDS_MAX
    )
