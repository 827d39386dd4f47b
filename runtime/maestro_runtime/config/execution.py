"""The context of one execution by a program: that of its run, and what it says beyond."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from maestro_runtime.config._decode import decode_table, plain
from maestro_runtime.config._problems import Problems
from maestro_runtime.config._tables import ContextTable
from maestro_runtime.config.context import RunContext, run_context
from maestro_runtime.config.errors import ContextInvalid


class _Table(ContextTable, frozen=True):
    """What a context of an execution has: that of a run, and more."""

    session_id: str | UnsetType = UNSET
    engine: str | UnsetType = UNSET
    input_dir: str | UnsetType = UNSET
    persona_config: dict[str, Any] | UnsetType = UNSET


class ExecutionContext(msgspec.Struct, frozen=True, kw_only=True):
    """A checked context."""

    run: RunContext = RunContext()
    session_id: str | None = None
    input_dir: Path | None = None
    persona: dict[str, Any] = {}
    """Keys of a persona in a team file, for every persona: `persona_config`, then `engine`."""


def read_execution_context(context: Mapping[str, Any] | None) -> ExecutionContext:
    """Check the context of an execution: that of `read_context`, and four keys more.

    `session_id` names the session, `engine` replaces that of every persona, `input_dir` is the
    source tree to work on, and `persona_config` has keys of a persona, over those it had.

    Raises:
        ContextInvalid: As `read_context`; or one of the four is of the wrong type.
    """
    given = {} if context is None else dict(context)
    if isinstance(given.get("input_dir"), Path):
        given["input_dir"] = os.fspath(given["input_dir"])
    problems = Problems()
    table = decode_table(plain(given), _Table, (), problems)
    run = run_context(table, problems)
    if found := problems.listed():
        raise ContextInvalid(found)
    persona = {} if table.persona_config is UNSET else dict(table.persona_config)
    if table.engine is not UNSET:
        persona["engine"] = table.engine
    return ExecutionContext(
        run=run,
        session_id=None if table.session_id is UNSET else table.session_id,
        input_dir=None if table.input_dir is UNSET else Path(table.input_dir),
        persona=persona,
    )
