from collections.abc import Iterator
from pathlib import Path

import pytest

from hosted import Hosted
from maestro_runtime import Client


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    hosted = Hosted(tmp_path)
    hosted.start()
    yield hosted
    hosted.stop()


@pytest.fixture
def client(hosted: Hosted) -> Iterator[Client]:
    with hosted.client() as client:
        yield client
