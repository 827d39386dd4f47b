"""Fixtures for pytest: `pytest_plugins = ["maestro_runtime.testing.fixtures"]`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_runtime.testing.trial import TrialRuntime, open_trial


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[TrialRuntime]:
    """Lend a runtime on trial over an empty state."""
    with open_trial(tmp_path) as opened:
        yield opened
