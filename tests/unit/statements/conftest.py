from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_storage import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A state directory of its own."""
    with Store.open(tmp_path / "state") as opened:
        yield opened
