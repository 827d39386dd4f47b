"""The context of one run: what its caller sets for every persona, over all other places."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from maestro_actors.team import RetryPolicy, Team
from maestro_runtime.config._decode import decode_table, plain
from maestro_runtime.config._problems import Problems
from maestro_runtime.config._tables import ContextTable, RetryTable, given
from maestro_runtime.config.errors import ContextInvalid, Problem

_RETRY_KEYS: Final = frozenset(RetryPolicy.__struct_fields__)


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """A checked context."""

    values: dict[str, Any] = {}
    """By key of a persona in the team file."""
    sources: dict[str, str] = {}
    """How the caller named each of them, as in `context retry.max_rounds`."""

    def applied(self, team: Team) -> Team:
        """Return the team with the values in every persona."""
        retry = {key: value for key, value in self.values.items() if key in _RETRY_KEYS}
        rest = {key: value for key, value in self.values.items() if key not in _RETRY_KEYS}
        personas = {
            persona_id: msgspec.structs.replace(
                persona, retry=msgspec.structs.replace(persona.retry, **retry), **rest
            )
            for persona_id, persona in team.personas.items()
        }
        return msgspec.structs.replace(team, personas=personas)


def read_context(context: Mapping[str, Any]) -> RunContext:
    """Check a context: `max_attempts`, `token_budget`, `give_up_on_failure`, and `retry`.

    `retry` is a table of `max_attempts`, `max_rounds`, `backoff_seconds`, `backoff_max_seconds`
    and `round_backoff_seconds`. All have the bounds of a team file.

    Raises:
        ContextInvalid: A key is unknown or given twice, or a value breaks its rule; it has all.
    """
    problems = Problems()
    run = run_context(decode_table(plain(context), ContextTable, (), problems), problems)
    if found := problems.listed():
        raise ContextInvalid(found)
    return run


def run_context(table: ContextTable, problems: Problems) -> RunContext:
    """Return what a table says of a run, whatever else it has; what is wrong goes to `problems`."""
    said = given(table)
    flat = {key: said[key] for key in ContextTable.__struct_fields__ if key in said}
    retry: RetryTable = flat.pop("retry", RetryTable())
    sources = {key: f"context {key}" for key in flat}
    for key, value in given(retry).items():
        if key in flat:
            problems.add(("retry", key), "must not be given twice")
        flat[key] = value
        sources[key] = f"context retry.{key}"
    if flat.get("round_backoff_seconds") == ():
        problems.add(("retry", "round_backoff_seconds"), "must have at least one number")
    return RunContext(values=flat, sources=sources)


def read_context_text(text: str) -> RunContext:
    """Check a context that is written as JSON.

    Raises:
        ContextInvalid: It is not JSON; otherwise as `read_context`.
    """
    try:
        context = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContextInvalid((Problem("", f"must be JSON: {error}"),)) from error
    if not isinstance(context, dict):
        raise ContextInvalid((Problem("", "must be a JSON object"),))
    return read_context(context)
