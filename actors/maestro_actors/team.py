"""The team as data: personas, phases, contracts, and what each of them may spend.

Pure values. Where they come from (a TOML file, a program) is the business of the runtime; by the
time a `Team` exists it has been validated: every name is known, phases and contracts are acyclic.
"""

from typing import Any

import msgspec

from maestro_actors.checks import Check
from maestro_actors.ledger.amounts import LostPolicy
from maestro_actors.ledger.budget import Budget


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often, and with which pauses, a task is tried.

    A task has at most `max_rounds * max_attempts` attempts, crashes included; each answer of a
    person that retries it grants one more round.
    """

    max_attempts: int = 3
    """Attempts in a round (level 1), at least 1."""
    backoff_seconds: float = 1.0
    """Delay after the first failed attempt of a round; doubles with each further one."""
    backoff_max_seconds: float = 5.0
    """Upper bound of a level-1 delay."""
    max_rounds: int = 2
    """Rounds of a task (level 2), at least 1."""
    round_backoff_seconds: tuple[float, ...] = (5.0, 10.0, 20.0)
    """Delay before round 2, 3, 4 ...; the last one repeats."""


class BreakerPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """When the circuit breaker of an engine opens, and for how long."""

    failures_max: int = 5
    """Consecutive failures of the engine that open it, at least 1."""
    reset_seconds: float = 30.0
    """Delay before the first probe, above 0."""
    reset_max_seconds: float = 300.0
    """Upper bound of a delay that has grown, jitter included; never below `reset_seconds`."""
    jitter: float = 0.1
    """Largest share that is added to a delay, so that many engines do not probe in step."""
    growth: float = 2.0
    """Factor of the delay for each probe that fails, at least 1."""
    call_timeout_seconds: float | None = None
    """Wall-clock limit of a call, which then has failed by the engine's fault; None: the
    `timeout_seconds` of the persona alone. The shorter of both applies."""


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the `command` engine runs."""

    argv: tuple[str, ...]
    timeout_seconds: float | None = None
    """Wall-clock limit of one call, when its process tree is killed; None: the persona's."""
    environment: dict[str, str] = {}
    """Added to the allow-listed variables of the runtime's own environment. `${NAME}` stands for a
    variable of that, looked up when a call begins: so a team holds no secret."""
    stop_timeout_seconds: float | None = None
    """How long it may take to end after SIGTERM, from 0, before its tree is killed: at its time
    limit, in a pause that interrupts, or at a stop of the runtime. A cancel has a deadline of its
    own. None: 5 s."""


class Persona(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role and the engine that does its work."""

    persona_id: str
    engine: str = "rehearsal"
    retry: RetryPolicy = RetryPolicy()
    token_budget: int = 100_000
    """Tokens this persona may spend in one session, input and output together."""
    give_up_on_failure: bool = True
    """True: the final failure ends the task. False: the task waits for a person."""
    timeout_seconds: float = 600.0
    """Wall-clock limit of one call of any engine."""
    command: CommandSpec | None = None
    """Required by the `command` engine."""
    callable: str | None = None
    """`module:function`, required by the `python` engine."""
    import_dir: str = ""
    """Absolute directory that `callable` is looked up in first: that of the team file."""
    script: tuple[str, ...] = ()
    """Outcome of each attempt of the `rehearsal` engine, in order; "ok" when it is used up."""
    latency_seconds: float = 0.0
    """Simulated duration of one call of the `rehearsal` engine."""
    options: dict[str, Any] = {}
    """Free parameters, handed to the engine untouched."""
    endpoint: str = ""
    """What of its engine the persona uses, as the engine names it: personas with the same
    endpoint fail together and share a circuit breaker."""
    model: str = ""
    """Asks the engine for this model; budgets and prices go by it."""
    tags: tuple[str, ...] = ()
    """Words by which budgets can count calls."""

    @property
    def breaker(self) -> str:
        """Name of the circuit breaker its calls go through."""
        return f"{self.engine}:{self.endpoint}" if self.endpoint else self.engine


class Phase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stage of a session; starts when every phase in `after` has finished."""

    name: str
    after: tuple[str, ...] = ()


class Deliverable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Files a persona owes: every glob must match at least one file."""

    name: str
    artifacts: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    """Of this deliverable's files, unless a check names others."""


class Contract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a persona has to deliver in a phase. One contract in a session is one task."""

    id: str
    name: str
    phase: str
    provider_persona_id: str
    after: tuple[str, ...] = ()
    """Contracts of the same phase that must be done before."""
    deliverables: tuple[Deliverable, ...] = ()
    checks: tuple[Check, ...] = ()
    """Of the files of all deliverables, unless a check names others."""

    @property
    def owed_checks(self) -> tuple[tuple[Check, tuple[str, ...]], ...]:
        """All checks with the globs each looks at, those of the deliverables first."""
        of_deliverables = (
            (check, check.looks_at(item.artifacts))
            for item in self.deliverables
            for check in item.checks
        )
        return (*of_deliverables, *((check, check.looks_at(self.globs)) for check in self.checks))

    @property
    def globs(self) -> tuple[str, ...]:
        """All artifact globs, in the order of the contract, without repeats."""
        return tuple(dict.fromkeys(glob for item in self.deliverables for glob in item.artifacts))


class Team(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A validated team: what `maestro-runtime run` executes."""

    name: str
    requirement: str
    personas: dict[str, Persona]
    phases: tuple[Phase, ...]
    contracts: tuple[Contract, ...]
    max_parallel_workers: int = 4
    """Most tasks with an attempt in flight at the same time."""
    budgets: tuple[Budget, ...] = ()
    """What the calls of the team may take, besides the token budget of each persona."""
    lost_policy: LostPolicy = "reservation"
    """What a call is booked with when a crash has left nobody who knows what it used."""
    seed: int = 0
    """Drives every random choice of a session: jitter and the rehearsal engine."""
    breakers: dict[str, BreakerPolicy] = {}
    """By name of a breaker (see `Persona.breaker`), or by engine for all of its breakers."""
    inputs: dict[str, Any] = {}
    """What whoever started the session gave it besides files, as JSON has it: part of the order of
    every attempt."""

    def breaker_policy(self, name: str, otherwise: BreakerPolicy) -> BreakerPolicy:
        """Return the policy of a breaker: its own, its engine's, or `otherwise`."""
        engine = name.partition(":")[0]
        return self.breakers.get(name) or self.breakers.get(engine) or otherwise


decode_team = msgspec.msgpack.Decoder(Team).decode
"""Decode the team that a session was started with, from its payload."""
