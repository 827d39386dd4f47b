"""Random programs: teams made from a seed, and what has to become of each of their tasks."""

import json
import random
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from person import Decision

PHASES_MAX: Final = 3
TASKS_OF_A_PHASE_MAX: Final = 4
FAILURES_MAX: Final = 3
"""Most attempts in a row that fail before one goes well."""
POOR_TOKENS: Final = 250
"""Budget of a persona that may run out: a call reserves 100 and uses up to 95."""
RICH_TOKENS: Final = 1_000_000

_HEAD: Final = """
[team]
name = "program"
requirement = "survive"
max_parallel_workers = {workers}
[defaults]
engine = "{engine}"
{callable}
max_attempts = {max_attempts}
max_rounds = {max_rounds}
backoff_seconds = 0.005
backoff_max_seconds = 0.01
round_backoff_seconds = [0.01]
token_budget = 1000000
[defaults.options]
{place}
fails_first = {fails_first}
fails = {fails}
[breakers.{engine}]
failures_max = {failures_max}
reset_seconds = 0.02
reset_max_seconds = 0.05
jitter = 0.0
[[budgets]]
id = "all"
window = "forever"
limit = 1000000
[[budgets]]
id = "recent"
scope = "persona"
window = "rolling:86400"
limit = 1000000
[[budgets]]
id = "requests"
metric = "requests"
limit = 1000000
[[budgets]]
id = "watched"
scope = "phase"
window = "month"
metric = "output"
limit = 20
action = "warn"
"""


@dataclass(frozen=True)
class Engine:
    """Who does the work of a program."""

    name: str
    place: tuple[str, Path]
    """The option that says where it is heard of outside the runtime, and its value."""
    callable: str = ""
    """Of the engine `python`."""


def billed(provider: Path) -> Engine:
    """Return the engine whose calls are billed by the provider at a socket."""
    return Engine("billed", ("socket", provider))


@dataclass(frozen=True)
class Task:
    """One contract of a program."""

    task_id: str
    phase: str
    persona: str
    after: tuple[str, ...] = ()
    failures: int = 0
    """Attempts that fail before one goes well."""
    doomed: bool = False
    """None goes well, and the first that is answered says so."""
    answer: Decision | None = None
    """What a person says if it has failed for good; None: nobody is asked."""


@dataclass(frozen=True)
class Program:
    """A team of phases, contracts and budgets, and what its engine does."""

    personas: dict[str, int]
    """Their budgets, in tokens."""
    phases: dict[str, tuple[str, ...]]
    """What each comes after."""
    tasks: dict[str, Task]
    workers: int = 2
    failures_max: int = 2
    """Of the breaker."""
    max_attempts: int = 3
    """A crash counts as an attempt too: this and the next say how many kills a task survives."""
    max_rounds: int = 2
    asking: frozenset[str] = frozenset()
    """Personas that ask a person instead of giving up."""

    def write(self, directory: Path, engine: Engine) -> Path:
        """Write the team file and return its path."""
        failing = {task.task_id: task.failures for task in self.tasks.values() if task.failures}
        pairs = ", ".join(f"{name} = {count}" for name, count in failing.items())
        option, place = engine.place
        text = _HEAD.format(
            engine=engine.name,
            callable=f"callable = {json.dumps(engine.callable)}" if engine.callable else "",
            place=f"{option} = {json.dumps(str(place))}",
            workers=self.workers,
            max_attempts=self.max_attempts,
            max_rounds=self.max_rounds,
            fails_first=f"{{ {pairs} }}",
            fails=json.dumps([task.task_id for task in self.tasks.values() if task.doomed]),
            failures_max=self.failures_max,
        )
        for name, tokens in self.personas.items():
            text += f"[personas.{name}]\ntoken_budget = {tokens}\n"
            text += f"give_up_on_failure = {json.dumps(name not in self.asking)}\n"
        for name, after in self.phases.items():
            text += f'[[phases]]\nname = "{name}"\nafter = {json.dumps(after)}\n'
        for task in self.tasks.values():
            text += textwrap.dedent(
                f"""
                [[contracts]]
                id = "{task.task_id}"
                name = "contract {task.task_id}"
                phase = "{task.phase}"
                provider_persona_id = "{task.persona}"
                after = {json.dumps(task.after)}
                deliverables = [{{ name = "file", artifacts = ["{task.task_id}.txt"] }}]
                """
            )
        path = directory / "team.toml"
        path.write_text(text)
        return path

    @property
    def answers(self) -> dict[str, Decision]:
        """What a person says of each task that needs help."""
        return {name: task.answer for name, task in self.tasks.items() if task.answer is not None}

    def check_end(self, sessions: dict[str, dict[str, str]]) -> None:
        """Hold the states in which the tasks of sessions have ended against what it says.

        That also holds for what a fork has kept, and what is cancelled may be so anywhere.
        """
        for states in sessions.values():
            self._check_end(states)

    def _check_end(self, states: dict[str, str]) -> None:
        assert set(states) == set(self.tasks)
        for task in self.tasks.values():
            ready = all(states[name] in {"done", "skipped"} for name in self._before(task))
            if not ready:
                allowed = {"blocked"}
            elif task.doomed:
                allowed = {"skipped" if task.answer == "skip" else "failed"}
            elif self.personas[task.persona] == POOR_TOKENS:
                # How much is left for it hangs on what crashes have cost.
                allowed = {"done", "failed"}
            else:
                allowed = {"done"}
            assert states[task.task_id] in allowed | {"cancelled"}, (
                f"{task} is {states[task.task_id]}"
            )

    def _before(self, task: Task) -> list[str]:
        """Return the tasks that have to be done before a task may begin."""
        phases = self.phases[task.phase]
        others = (other.task_id for other in self.tasks.values() if other.phase in phases)
        return [*task.after, *others]


def random_program(seed: int, *, max_attempts: int, max_rounds: int, asks: bool = False) -> Program:
    """Make a program from a seed, the same each time; it may ask for help only if that is given."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    names = [f"phase{number}" for number in range(chance.randint(1, PHASES_MAX))]
    personas = {
        f"p{number}": POOR_TOKENS if chance.random() < 1 / 8 else RICH_TOKENS
        for number in range(chance.randint(1, 3))
    }
    rich = [name for name, tokens in personas.items() if tokens == RICH_TOKENS]
    asking = frozenset(name for name in rich if asks and chance.random() < 1 / 2)
    tasks: dict[str, Task] = {}
    for phase in names:
        beside: list[str] = []
        for _ in range(chance.randint(1, TASKS_OF_A_PHASE_MAX)):
            name = f"t{len(tasks)}"
            persona = chance.choice(list(personas))
            tasks[name] = Task(
                task_id=name,
                phase=phase,
                persona=persona,
                after=tuple(other for other in beside if chance.random() < 1 / 4),
                failures=chance.choice((0, chance.randint(1, FAILURES_MAX))),
                doomed=chance.random() < 1 / 12,
                answer=chance.choice(("skip", "give_up")) if persona in asking else None,
            )
            beside.append(name)
    return Program(
        personas=personas,
        phases={
            name: tuple(before for before in names[:place] if chance.random() < 2 / 3)
            for place, name in enumerate(names)
        },
        tasks=tasks,
        workers=chance.randint(1, 4),
        failures_max=chance.randint(1, 3),
        max_attempts=max_attempts,
        max_rounds=max_rounds,
        asking=asking,
    )
