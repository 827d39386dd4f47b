"""A few rounds of each fault; `make crash` makes as many as you like."""

import pytest

from campaign import FAULTS, STRACED, repeat
from straced import STRACE

ROUNDS = {
    "kill": 5,
    "kill-storm": 1,
    "power-cut": 1,
    "bit-rot": 1,
    "pause": 1,
    "storage": 3,
    "shortage": 4,
}
"""Of each fault; 2 of the others."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_keeps_its_invariants_through_a_fault(fault: str) -> None:
    if fault in STRACED and STRACE is None:
        pytest.skip("strace is not installed")
    assert repeat(fault, ROUNDS.get(fault, 2), seed=1).total() > 0
