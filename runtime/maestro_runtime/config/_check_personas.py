"""What must hold for personas beyond the type of each value."""

import re

from msgspec import UNSET

from maestro_runtime.config._names import check_name
from maestro_runtime.config._problems import KeyPath, Problems, shown, unknown
from maestro_runtime.config._tables import CommandTable, PersonaTable, TeamFile, inherit
from maestro_runtime.engines.script import SCRIPT_STEPS


def check_personas(file: TeamFile, problems: Problems) -> None:
    """Note what is wrong in `[defaults]` and in each persona."""
    if not file.personas:
        problems.add(("personas",), "must have at least one [personas.NAME] table")
    _check_table(file.defaults, ("defaults",), problems)
    for persona_id, own in file.personas.items():
        path = ("personas", persona_id)
        check_name(persona_id, path, problems)
        _check_table(own, path, problems)
        _check_engine(inherit(own, file.defaults), path, problems)


def _check_engine(table: PersonaTable, path: KeyPath, problems: Problems) -> None:
    """Note what the engine of a persona needs and has not got.

    Other engines are not judged here: only the runtime knows which ones are installed.
    """
    if table.engine == "command" and table.command is UNSET:
        problems.add((*path, "command"), "is required by engine 'command'")
    if table.engine == "python" and table.callable is UNSET:
        problems.add((*path, "callable"), "is required by engine 'python'")


def _check_table(table: PersonaTable, path: KeyPath, problems: Problems) -> None:
    """Note what is wrong with the keys of one table, wherever they are inherited."""
    if table.engine is not UNSET:
        check_name(table.engine, (*path, "engine"), problems)
    if table.round_backoff_seconds == ():
        problems.add((*path, "round_backoff_seconds"), "must have at least one number")
    if table.callable is not UNSET and not is_callable(table.callable):
        problems.add(
            (*path, "callable"), f"must be written module:function, got {shown(table.callable)}"
        )
    for at, step in enumerate(table.script or ()):
        if step not in SCRIPT_STEPS:
            problems.add((*path, "script", at), unknown(step, "step", SCRIPT_STEPS))
    if table.command is not UNSET:
        _check_command(table.command, (*path, "command"), problems)


def is_callable(text: str) -> bool:
    """Tell whether the text has the form `package.module:function`."""
    module, colon, function = text.partition(":")
    return bool(colon) and all(
        part.isidentifier() for part in (*module.split("."), *function.split("."))
    )


def check_argv(argv: tuple[str, ...], path: KeyPath, problems: Problems) -> None:
    """Note a command line that cannot be started."""
    if not argv or not argv[0]:
        problems.add(path, "must name a program")
    for at, argument in enumerate(argv):
        if "\0" in argument:
            problems.add((*path, at), f"must have no NUL, got {shown(argument)}")


def _check_command(command: CommandTable, path: KeyPath, problems: Problems) -> None:
    """Note what the system would refuse when the command starts."""
    check_argv(command.argv, (*path, "argv"), problems)
    for name, value in (command.environment or {}).items():
        key = (*path, "environment", name)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            problems.add(key, "must be a name of letters, digits and underscores")
        elif name.startswith("MAESTRO_"):
            problems.add(key, "must not begin with MAESTRO_, the runtime sets those variables")
        elif "\0" in value:
            problems.add(key, f"must have no NUL, got {shown(value)}")
