"""A team whose calls a test holds and lets go."""

from typing import Any

from maestro_actors.team import RetryPolicy, Team
from maestro_runtime import Runtime
from maestro_runtime.reports.session import SessionReport
from maestro_runtime.testing import ScriptedEngine, simple_team

BOUND_SECONDS = 20.0


def gated_team(*, workers: int = 1, **persona: Any) -> Team:
    """Return a team whose phases `a` and `b` have two contracts each: `a1`, `a2`, `b1`, `b2`."""
    fields = {"retry": RetryPolicy(max_attempts=1, max_rounds=1), **persona}
    return simple_team({"a": ("a1", "a2"), "b": ("b1", "b2")}, workers=workers, **fields)


def called(engine: ScriptedEngine) -> list[str]:
    """Return the tasks whose calls have begun, in that order."""
    return [order.task_id for order in engine.orders]


def states(report: SessionReport) -> list[str]:
    """Return where the tasks of a session stand."""
    return [task.state for task in report.tasks]


def kinds(runtime: Runtime, session_id: str = "s-1") -> list[str]:
    """Return what has happened in a session."""
    return [event.kind for event in runtime.store.events.scan(session_id)]
