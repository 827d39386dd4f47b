"""Configuration: the team file, the settings around it, and where each value came from.

Light to import: no storage, no actors' threads, nothing is read before it is asked for.
"""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader

if TYPE_CHECKING:
    from maestro_runtime.config._explain import ConfigValue, explain
    from maestro_runtime.config._names import NAME_PATTERN
    from maestro_runtime.config.context import RunContext, read_context, read_context_text
    from maestro_runtime.config.errors import (
        ConfigError,
        ContextInvalid,
        DaemonFileInvalid,
        DaemonFileUnreadable,
        PolicyInvalid,
        Problem,
        RequirementInvalid,
        SettingInvalid,
        TeamFileInvalid,
        TeamFileUnreadable,
    )
    from maestro_runtime.config.execution import ExecutionContext, read_execution_context
    from maestro_runtime.config.policy import read_policy
    from maestro_runtime.config.requirement import REQUIREMENT_BYTES_MAX, read_requirement
    from maestro_runtime.config.settings import Flags, Setting, Settings, resolve_settings
    from maestro_runtime.config.team_file import LoadedTeam, load_team, team_of

_HOMES = {
    "ConfigError": "errors",
    "ConfigValue": "_explain",
    "ContextInvalid": "errors",
    "DaemonFileInvalid": "errors",
    "DaemonFileUnreadable": "errors",
    "ExecutionContext": "execution",
    "Flags": "settings",
    "LoadedTeam": "team_file",
    "NAME_PATTERN": "_names",
    "PolicyInvalid": "errors",
    "Problem": "errors",
    "REQUIREMENT_BYTES_MAX": "requirement",
    "RequirementInvalid": "errors",
    "RunContext": "context",
    "Setting": "settings",
    "SettingInvalid": "errors",
    "Settings": "settings",
    "TeamFileInvalid": "errors",
    "TeamFileUnreadable": "errors",
    "explain": "_explain",
    "load_team": "team_file",
    "read_context": "context",
    "read_context_text": "context",
    "read_execution_context": "execution",
    "read_policy": "policy",
    "read_requirement": "requirement",
    "resolve_settings": "settings",
    "team_of": "team_file",
}
"""Public names, and the module each is loaded from."""

__all__ = [
    "NAME_PATTERN",
    "REQUIREMENT_BYTES_MAX",
    "ConfigError",
    "ConfigValue",
    "ContextInvalid",
    "DaemonFileInvalid",
    "DaemonFileUnreadable",
    "ExecutionContext",
    "Flags",
    "LoadedTeam",
    "PolicyInvalid",
    "Problem",
    "RequirementInvalid",
    "RunContext",
    "Setting",
    "SettingInvalid",
    "Settings",
    "TeamFileInvalid",
    "TeamFileUnreadable",
    "explain",
    "load_team",
    "read_context",
    "read_context_text",
    "read_execution_context",
    "read_policy",
    "read_requirement",
    "resolve_settings",
    "team_of",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
