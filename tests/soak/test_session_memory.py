"""Sessions of all kinds leave nothing behind in the memory of the process that runs them."""

import statistics
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import pytest

import forked
import lives

STAGE: Final = 8
"""Lives after which nearly all threads and caches are there that there will be."""
LIVES: Final = 5 * STAGE
BLOCKS_MAX: Final = 1.0
"""What a life must not leave, in blocks of the allocator: one is a text."""


@pytest.mark.parametrize("kind", lives.KINDS)
def test_a_session_leaves_nothing_in_memory(tmp_path: Path, kind: str) -> None:
    assert forked.run(lives.main, kind, str(tmp_path), LIVES) == 0

    blocks = msgspec.json.decode((tmp_path / "blocks.json").read_bytes(), type=list[int])
    # The least of several: what is remembered of the last few comes and goes.
    least = [min(blocks[begin : begin + STAGE]) for begin in range(STAGE, LIVES, STAGE)]
    # And not the greatest growth: a thread or a cache may come late, once.
    grown = statistics.median(after - before for before, after in pairwise(least)) / STAGE
    assert grown < BLOCKS_MAX, blocks
