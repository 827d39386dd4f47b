"""Removed. Importing it says what to import instead."""

raise ImportError(
    f"{__name__} was removed: use 'from persona_executor_v2 import PersonaExecutorV2'",
    name=__name__,
)
