"""How a runtime is opened."""

from dataclasses import dataclass, field

from maestro_actors.healing import Strategy
from maestro_actors.kernel import Clock
from maestro_actors.team import BreakerPolicy
from maestro_runtime.engines import Engine
from maestro_runtime.healing import Fix
from maestro_runtime.policy import RuntimePolicy
from maestro_runtime.redaction import Redactor
from maestro_runtime.tickets import TicketSink
from maestro_storage import CommitObserver, StoreOptions


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How a runtime is opened. The defaults are those of the command line."""

    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    """Of breakers that a team says nothing about. A breaker that sessions share follows the one
    started last."""
    store: StoreOptions = field(default_factory=StoreOptions)
    clock: Clock | None = None
    """None: the system's clock."""
    observer: CommitObserver | None = None
    """Sees every commit before and after; for tests that kill the process in between."""
    engines: tuple[Engine, ...] = ()
    """Engines of this program, by the names that teams use: beside the built-in ones, or instead of
    them where they have the same name."""
    tickets: TicketSink | None = None
    """Where the tickets of final failures go; None: files in the state directory. Alerts of budgets
    go there too if it is an `AlertSink`, else into a file of the state directory."""
    strategies: tuple[Strategy, ...] = ()
    """Asked about failed attempts before the built-in ones."""
    fixes: tuple[Fix, ...] = ()
    """Tried on files that fail a check after the built-in ones."""
    policy: RuntimePolicy = field(default_factory=RuntimePolicy)
    """Limits, budgets and prices to begin with; see `Runtime.govern`."""
    redactor: Redactor | None = None
    """Takes secrets out of what engines, checks and ticket sinks say, before it is recorded. It
    learns those of the sinks and of the teams that are run. None: one that knows what the
    environment calls secret."""
    stop_grace_seconds: float = 10.0
    """How long `close` lets engines and actors come to an end."""
