"""What `--only` and `--until` mean."""

import click

from maestro_actors.sessions.plan import plan_of, plan_until
from maestro_actors.team import Team
from maestro_storage.plan import Plan


def plan_from(team: Team, only: str | None, until: str | None) -> Plan | None:
    """Return the plan that the options ask for; None if there are none.

    Raises:
        click.UsageError: Both were given.
        PlanInvalid: The team has no such phase.
    """
    if only is not None and until is not None:
        raise click.UsageError("--only and --until exclude each other")
    if until is not None:
        return plan_until(team, until)
    return None if only is None else plan_of((only,))
