"""`maestro-runtime config`: show."""

import json
import os
from pathlib import Path
from typing import Any

import click

from maestro_runtime.cli._options import context_option, json_option, state_dir_option
from maestro_runtime.cli._output import print_json, print_table


@click.group("config", epilog="Example: maestro-runtime config show")
def command() -> None:
    """What is configured, and where it came from."""


@command.command("show", epilog="Example: maestro-runtime config show team.toml --max-attempts 5")
@click.argument("team_file", metavar="[TEAM.toml]", type=click.Path(path_type=Path), required=False)
@click.option("--config", metavar="FILE", help="As for serve.")
@click.option("--requirement", metavar="TEXT|@FILE", help="As for run.")
@click.option("--max-attempts", metavar="N", help="As for run.")
@click.option("--token-budget", metavar="N", help="As for run.")
@context_option
@state_dir_option
@json_option
def show(
    team_file: Path | None,
    config: str | None,
    requirement: str | None,
    max_attempts: str | None,
    token_budget: str | None,
    context: str | None,
    state_dir: str | None,
    **options: Any,
) -> None:
    """Print every value in force and where it came from.

    The first of context, flag, environment, team file and built-in value wins.
    """
    from maestro_runtime.config import (
        ConfigValue,
        Flags,
        explain,
        load_team,
        read_context_text,
        read_requirement,
        resolve_settings,
    )
    from maestro_runtime.config.daemon import DaemonFlags, explain_daemon, resolve_daemon
    from maestro_runtime.config.tickets import resolve_ticket_settings, ticket_sink

    flags = Flags(state_dir=state_dir, max_attempts=max_attempts, token_budget=token_budget)
    daemon_flags = DaemonFlags(state_dir=state_dir, config=config)
    settings = resolve_settings(flags, os.environ)
    run_context = read_context_text("{}" if context is None else context)
    text = None if requirement is None else read_requirement(requirement)
    loaded = (
        None
        if team_file is None
        else load_team(team_file, requirement=text, settings=settings, context=run_context)
    )
    # Read whole, so that what is missing for the sink is said here, too.
    resolve_ticket_settings(os.environ)
    sink = ticket_sink(os.environ)
    values = [
        *explain(settings, loaded, run_context),
        ConfigValue("ticket_sink", sink.value, sink.source),
        *explain_daemon(resolve_daemon(daemon_flags, os.environ)),
    ]
    if options["as_json"]:
        print_json({"schema": "maestro.config/1", "values": values})
        return
    print_table(
        ("KEY", "VALUE", "SOURCE"),
        [(value.key, json.dumps(value.value), value.source) for value in values],
    )
