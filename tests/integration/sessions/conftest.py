from collections.abc import Iterator
from pathlib import Path

import pytest

from held_work import GATES, Gate, gated_team
from maestro_runtime import Runtime, SessionOrder, open_runtime


@pytest.fixture
def gate() -> Iterator[Gate]:
    """The gate of session `s-1`."""
    GATES["s-1"] = Gate()
    yield GATES["s-1"]
    GATES.clear()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """A runtime over an empty state."""
    with open_runtime(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def gated(tmp_path: Path) -> SessionOrder:
    """Session `s-1` of two phases with two contracts each, whose calls the gate holds."""
    return SessionOrder(gated_team(), "s-1", tmp_path / "out")
