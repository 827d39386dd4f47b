from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_runtime.executors import StateManager, close_shared_runtimes


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory of its own, and a current one; what uses it is closed at the end."""
    monkeypatch.setenv("MAESTRO_STATE_DIR", str(tmp_path / "state"))
    for name in ("MAESTRO_ENGINE", "MAESTRO_MAX_ATTEMPTS", "MAESTRO_TOKEN_BUDGET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "state"
    close_shared_runtimes()
    StateManager._instances.clear()
