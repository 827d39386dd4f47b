from collections.abc import Iterator
from pathlib import Path

import pytest

import phased
from held_work import gated_team
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.testing import Hold, ScriptedEngine


@pytest.fixture
def options() -> RuntimeOptions:
    """Options of runtimes with an engine whose calls end well."""
    return RuntimeOptions(engines=(ScriptedEngine(),))


@pytest.fixture
def gate(options: RuntimeOptions) -> ScriptedEngine:
    """The engine of these runtimes, whose calls are held."""
    (engine,) = options.engines
    assert isinstance(engine, ScriptedEngine)
    engine.otherwise = Hold()
    return engine


@pytest.fixture
def runtime(tmp_path: Path, options: RuntimeOptions) -> Iterator[Runtime]:
    """A runtime over an empty state."""
    with open_runtime(tmp_path / "state", options) as opened:
        yield opened


@pytest.fixture
def gated(tmp_path: Path) -> SessionOrder:
    """Session `s-1` of two phases with two contracts each, whose calls the gate holds."""
    return SessionOrder(gated_team(), "s-1", tmp_path / "out")


@pytest.fixture
def desk() -> phased.Desk:
    """Where the personas of `phased` leave what they do."""
    phased.DESK = phased.Desk()
    return phased.DESK
