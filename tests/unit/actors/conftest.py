from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_actors.kernel import VirtualClock
from staging import Stage, open_stage


@pytest.fixture
def restart(tmp_path: Path) -> Iterator[Callable[[], Stage]]:
    """Open the same state directory again and again; an earlier start ends like a killed process.

    Its actors and its queue vanish, what is durable stays.
    """
    stages: list[Stage] = []
    clock = VirtualClock(1_000_000)

    def opened() -> Stage:
        if stages:
            stages[-1].close()
        stages.append(open_stage(tmp_path / "state", clock))
        return stages[-1]

    yield opened
    if stages:
        stages[-1].close()


@pytest.fixture
def stage(restart: Callable[[], Stage]) -> Stage:
    """The first start of a state directory."""
    return restart()
