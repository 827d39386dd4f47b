"""A runtime has the verbs of its parts."""

import inspect

import pytest

from maestro_runtime import Runtime
from maestro_runtime.verbs import (
    BookVerbs,
    BreakerVerbs,
    Governance,
    HelpVerbs,
    PhaseVerbs,
    RecordVerbs,
    SessionVerbs,
    StartVerbs,
)

AMONG_PARTS = {"start", "as_it_is", "goes_on"}
"""What parts ask of each other, under the lock of starts."""


@pytest.mark.parametrize(
    "part",
    [
        BookVerbs,
        BreakerVerbs,
        Governance,
        HelpVerbs,
        PhaseVerbs,
        RecordVerbs,
        SessionVerbs,
        StartVerbs,
    ],
)
def test_each_verb_of_a_part_is_one_of_the_runtime_with_its_contract(part: type) -> None:
    verbs = {
        name: method
        for name, method in vars(part).items()
        if inspect.isfunction(method) and not name.startswith("_") and name not in AMONG_PARTS
    }

    assert verbs
    for name, method in verbs.items():
        ours = vars(Runtime)[name]
        assert inspect.signature(ours) == inspect.signature(method)
        assert ours.__doc__ == method.__doc__
