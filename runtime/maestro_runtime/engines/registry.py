"""Which engines there are, by the name a team file uses."""

import threading
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Final

from maestro_runtime.engines.command import CommandEngine
from maestro_runtime.engines.driver import Driver
from maestro_runtime.engines.errors import EngineUnavailable, UnknownEngine
from maestro_runtime.engines.protocol import Engine
from maestro_runtime.engines.python import PythonEngine
from maestro_runtime.engines.rehearsal import RehearsalEngine
from maestro_runtime.redaction import Redactor

ENTRY_POINT_GROUP: Final = "maestro_runtime.engines"
"""Installed packages name a factory here that takes nothing and returns an `Engine`."""


class EngineRegistry:
    """Finds engines by name; safe to use from any thread.

    Args:
        engines: The engines at hand. Others are looked for among the installed packages when
            they are asked for, and not before.
    """

    def __init__(self, engines: Iterable[Engine]) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._lock = threading.Lock()

    def get(self, name: str) -> Engine:
        """Return the engine of that name, always the same one.

        Raises:
            UnknownEngine: There is none.
            EngineUnavailable: It is installed, but cannot be loaded.
        """
        engine = self._engines.get(name)
        if engine is not None:
            return engine
        with self._lock:
            if name not in self._engines:
                self._engines[name] = self._load(name)
            return self._engines[name]

    def loaded(self) -> tuple[Engine, ...]:
        """Return the engines at hand, those of other packages only once they were asked for."""
        with self._lock:
            return tuple(self._engines.values())

    def _load(self, name: str) -> Engine:
        """Make an engine of an installed package."""
        installed = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
        if name not in installed:
            raise UnknownEngine(name, tuple(sorted({*self._engines, *installed})))
        try:
            engine: Engine = installed[name].load()()
        except Exception as error:
            # Foreign code; whatever it raises, the others go on.
            detail = f"engine {name!r} cannot be loaded: {type(error).__name__}: {error}"
            raise EngineUnavailable(detail) from error
        return engine


def builtin_engines(state_id: str, redactor: Redactor | None = None) -> tuple[Engine, ...]:
    """Return new `rehearsal`, `python` and `command` engines.

    Args:
        state_id: Name of the state directory that no copy of it has; marks the processes that
            work for it.
        redactor: Takes secrets out of what programs say.
    """
    driver = Driver(state_id, redactor=redactor)
    return RehearsalEngine(), PythonEngine(), CommandEngine(driver)
