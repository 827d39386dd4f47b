"""What can happen to a session: the steps of a program that a `Play` takes."""

from dataclasses import dataclass
from typing import Final, Literal

from maestro_actors.engine import Outcome
from staging import OK

Ending = Literal[
    "ok",
    "fault",
    "transient",
    "malformed",
    "missing",
    "missing_too",
    "rate_limited",
    "permanent",
    "interrupted",
]

OUTCOMES: Final[dict[Ending, Outcome]] = {
    "ok": OK,
    "fault": Outcome(failure="transient", engine_fault=True),
    "transient": Outcome(failure="transient"),
    "malformed": Outcome(failure="malformed_output"),
    "missing": Outcome(artifacts=OK.artifacts, missing=("*.md",)),
    # As much is missing, but something has changed: not stuck after the one above.
    "missing_too": Outcome(artifacts=(), missing=("*.md",)),
    "rate_limited": Outcome(failure="rate_limited", retry_after_seconds=7.5),
    "permanent": Outcome(failure="permanent"),
    "interrupted": Outcome(failure="interrupted"),
}


@dataclass(frozen=True)
class Finish:
    """Let one of the calls in flight end."""

    place: int
    ending: Ending
    tokens: int


@dataclass(frozen=True)
class Outage:
    """Let calls end by the fault of their engine, one after the other, waiting for each."""

    calls: int


@dataclass(frozen=True)
class NextTimer:
    """Let time pass until the next timer rings."""


@dataclass(frozen=True)
class Pass:
    """Let time pass."""

    seconds: float


@dataclass(frozen=True)
class Crash:
    """Kill the process, and start another one after a while."""

    recovered_tokens: int | None
    """What the engines know of the calls that were in flight; None if they do not."""
    seconds: float


@dataclass(frozen=True)
class CrashAfter:
    """Let the process die once it has made so many more transitions durable."""

    transitions: int
    recovered_tokens: int | None


@dataclass(frozen=True)
class Bug:
    """Let the persona of a task fail, which restarts it in place."""

    place: int
    transitions: int
    """How many more transitions are made before; 0 means at once,
    together with what the next step brings."""


@dataclass(frozen=True)
class Doom:
    """Let the persona of a task fail at once so often that it is not restarted any more."""

    place: int


@dataclass(frozen=True)
class Fall:
    """Let the coordinator fail, which has another one take its place."""

    transitions: int
    """As of `Bug`."""


@dataclass(frozen=True)
class Stop:
    """Stop the process as `Runtime.close` does, engines included, and start another one."""


@dataclass(frozen=True)
class Pause:
    """Ask for a pause."""

    interrupt: bool


@dataclass(frozen=True)
class Cancel:
    """Cancel the session."""

    seconds: float
    """Until engines are killed."""


@dataclass(frozen=True)
class Deaf:
    """Let engines stop, from now on, only when they are killed."""


@dataclass(frozen=True)
class Resume:
    """Let a session go on that is paused or is to be."""


@dataclass(frozen=True)
class Retry:
    """Try one of the failed tasks again."""

    place: int


@dataclass(frozen=True)
class Rerun:
    """Do a phase and all after it again, once nothing is in flight."""

    place: int
    interrupt: bool = False


Verb = Pause | Cancel | Deaf | Resume | Retry | Rerun
Step = Finish | Outage | NextTimer | Pass | Crash | CrashAfter | Bug | Doom | Fall | Stop | Verb
