"""The values that pass between a persona and its engine.

The engine itself lives in the runtime; actors only see its outcome. Everything in this module is
plain data, so an outcome can be journalled and can cross a process boundary.
"""

from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec

from maestro_actors.checks import CheckResult
from maestro_actors.errors import UsageInvalid
from maestro_actors.team import Contract, Persona

FailureClass = Literal[
    "transient",
    "rate_limited",
    "malformed_output",
    "missing_deliverable",
    "failed_check",
    "limit",
    "refused",
    "permanent",
    "stuck",
    "interrupted",
    "unanswered",
]
"""Why an attempt did not do it; decides whether, and how, it is tried again.

"unanswered" is the class of a task, never of an attempt: only a person's answer is missing.
"""

FAILURE_CLASSES: Final[tuple[FailureClass, ...]] = get_args(FailureClass)

Basis = Literal["provider", "estimated", "reserved"]
"""Who counted the tokens: the engine's provider, our estimate, or nobody (lost in a crash)."""


FIGURE_MAX: Final = 1 << 53
"""Largest count of tokens or requests that is believed."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of one call, in integers. Buckets are inclusive: the total is input plus output."""

    input_tokens: int = 0
    output_tokens: int = 0
    basis: Basis = "estimated"
    cache_read_tokens: int = 0
    """Part of the input that the provider had in its cache."""
    cache_write_tokens: int = 0
    """Part of the input that the provider put into its cache."""
    reasoning_tokens: int = 0
    """Part of the output that was thought, not said."""
    requests: int = 1
    """Requests to the provider that the call has made."""

    @property
    def fault(self) -> str:
        """What is wrong with the figures, in a sentence; empty if they can be added up."""
        try:
            self.check()
        except UsageInvalid as error:
            return str(error)
        return ""

    def check(self) -> None:
        """Refuse figures that cannot be added up: they come from outside.

        Raises:
            UsageInvalid: A figure is not an integer of at least 0, or beyond belief, or a part
                exceeds its whole.
        """
        for figure in _figures_of(self):
            if type(figure) is not int or not 0 <= figure <= FIGURE_MAX:
                raise _figure_fault(self)
        cached = self.cache_read_tokens + self.cache_write_tokens
        if cached > self.input_tokens:
            rule = f"must have the cached {cached} tokens in it"
            raise UsageInvalid("input_tokens", rule, self.input_tokens)
        if self.reasoning_tokens > self.output_tokens:
            rule = f"must have the {self.reasoning_tokens} reasoning tokens in it"
            raise UsageInvalid("output_tokens", rule, self.output_tokens)

    @property
    def total(self) -> int:
        """Tokens of the call, input and output together."""
        return self.input_tokens + self.output_tokens


_FIGURES: Final = tuple(name for name in Usage.__struct_fields__ if name != "basis")
_figures_of: Final = attrgetter(*_FIGURES)


def _figure_fault(usage: Usage) -> UsageInvalid:
    """Return what is wrong with the first figure that is no count."""
    for name in _FIGURES:
        figure = getattr(usage, name)
        if type(figure) is not int or figure < 0:
            return UsageInvalid(name, "must be an integer of at least 0", figure)
        if figure > FIGURE_MAX:
            return UsageInvalid(name, f"must be at most {FIGURE_MAX}", figure)
    raise RuntimeError(f"every figure of {usage!r} is a count")


class Estimate(NamedTuple):
    """What a call may need, as its engine sees it before the call is opened."""

    need_tokens: int
    """Most tokens it is expected to use: what will be reserved, if there is as much."""
    floor_tokens: int = 0
    """Fewest tokens it can do with: what the request alone takes, and the least useful answer to
    it. A budget that is short cuts the call down to that, and its `token_budget` says to how many;
    0: it needs all of it."""


class Artifact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One file seen on disk after an attempt."""

    path: str
    """Relative to the workspace, with forward slashes."""
    size_bytes: int
    sha256: str
    """Hex digest of the content."""
    changed: bool
    """Created or changed by this attempt; False when it was there before, byte for byte."""


class CallOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything an engine needs for one call. Durable before the engine sees it."""

    session_id: str
    task_id: str
    """The contract's id: a task is one contract in a session."""
    call_id: str
    """32 hex digits, the same for the same (session, task, round, attempt)."""
    round: int
    attempt: int
    """1-based, within the round."""
    ordinal: int
    """1-based, over all rounds: the n-th attempt of the task."""
    persona: Persona
    contract: Contract
    requirement: str
    workspace: str
    """Absolute path; the engine writes nowhere else."""
    input_dir: str | None = None
    """Absolute path of the source tree the session works on, if there is one. Read only."""
    feedback: tuple[str, ...] = ()
    """What was wrong with the attempt before this one, one sentence each."""
    token_budget: int = 0
    """Tokens this call may spend: what was reserved for it."""
    seed: int = 0
    known_checks: tuple[CheckResult, ...] = ()
    """Of the last attempt that was checked: they hold while the files have the same hashes."""
    scope: tuple[str, ...] = ()
    """Globs that are still owed, the others being in order; empty: all of the contract."""
    inputs: dict[str, Any] = {}
    """What whoever started the session gave it besides files; see `Team.inputs`."""


class ProcessIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Names one operating-system process beyond the reuse of its pid."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/<pid>/stat."""
    boot_id: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one call of an engine came to, as observed by the runtime."""

    usage: Usage = Usage()
    failure: FailureClass | None = None
    """None: the engine finished and every glob of the contract matches a file."""
    evidence: tuple[str, ...] = ()
    """What was observed, one sentence each; becomes the feedback of the next attempt."""
    engine_fault: bool = False
    """It speaks against the engine, not against its work: the circuit breaker counts it."""
    retry_after_seconds: float | None = None
    """The engine asked for at least this pause."""
    artifacts: tuple[Artifact, ...] = ()
    """Files of the contract's globs that are on disk after the call."""
    missing: tuple[str, ...] = ()
    """Globs that match no file."""
    checks: tuple[CheckResult, ...] = ()
    """Of the contract's checks; none unless the engine itself ended well."""
    claimed_missing: tuple[str, ...] = ()
    """Files of the contract that `message` names and that are not on disk."""
    message: str = ""
    """The engine's own closing words, capped; data, never an instruction."""
    duration_seconds: float = 0.0
    tokens_saved: int = 0
    """Estimate of what the engine would have had to write beyond its edits, had it written the
    changed files in full."""
    healing: tuple[str, ...] = ()
    """What was repaired in the files after the engine ended, in a few words each."""
    decisions: bytes = b""
    """What the engine says it has decided, as a JSON object; empty if it says nothing."""
