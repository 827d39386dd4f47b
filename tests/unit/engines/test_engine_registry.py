import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_actors.engine import CallOrder
from maestro_runtime.engines import (
    Engine,
    EngineContext,
    EngineRegistry,
    EngineResult,
    EngineUnavailable,
    UnknownEngine,
    builtin_engines,
)
from maestro_runtime.engines.rehearsal import RehearsalEngine

PLUGIN = """
from maestro_runtime.engines.rehearsal import RehearsalEngine

class Plugin(RehearsalEngine):
    name = "plugin"

def broken():
    raise OSError("no licence")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with two engines, one of which cannot be made."""
    (tmp_path / "maestro_plugin_probe.py").write_text(PLUGIN)
    metadata = tmp_path / "maestro_plugin_probe-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: maestro-plugin-probe\n")
    (metadata / "entry_points.txt").write_text(
        "[maestro_runtime.engines]\n"
        "plugin = maestro_plugin_probe:Plugin\n"
        "broken = maestro_plugin_probe:broken\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "maestro_plugin_probe", raising=False)


def test_the_built_in_engines_are_found_by_name() -> None:
    registry = EngineRegistry(builtin_engines("state"))

    assert [registry.get(name).name for name in ("rehearsal", "python", "command")] == [
        "rehearsal",
        "python",
        "command",
    ]


def test_an_unknown_engine_is_refused_with_the_known_names(plugin: None) -> None:
    with pytest.raises(UnknownEngine) as caught:
        EngineRegistry([RehearsalEngine()]).get("gpt")

    assert caught.value.known == ("broken", "plugin", "rehearsal")


def test_an_installed_engine_is_loaded_once_when_it_is_asked_for(plugin: None) -> None:
    registry = EngineRegistry([RehearsalEngine()])

    assert "maestro_plugin_probe" not in sys.modules
    assert registry.get("plugin") is registry.get("plugin")
    assert [engine.name for engine in registry.loaded()] == ["rehearsal", "plugin"]


def test_an_installed_engine_that_cannot_be_made_is_unavailable(plugin: None) -> None:
    with pytest.raises(EngineUnavailable, match="'broken' cannot be loaded: OSError: no licence"):
        EngineRegistry([]).get("broken")


class Small(Engine):
    """Has nothing to look for, to tell apart, to recover or to let go of."""

    name = "small"

    def estimate(self, order: CallOrder) -> int:
        return 1

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        return EngineResult()


class Unbounded(Engine):
    """Does not say what it will use."""

    name = "unbounded"

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        return EngineResult()


def test_an_engine_need_only_say_its_name_its_estimate_and_its_work(
    make_order: Callable[..., CallOrder],
) -> None:
    engine, order = Small(), make_order()

    assert engine.preflight(order.persona).ok
    assert engine.endpoint(order.persona) == ""
    assert asyncio.run(engine.recover(order)) is None
    with pytest.raises(TypeError, match=r"abstract method '?estimate"):
        Unbounded()  # type: ignore[abstract] # the point of the test
