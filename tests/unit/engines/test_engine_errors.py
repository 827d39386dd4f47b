import pickle

import pytest

from maestro_actors.engine import Usage
from maestro_runtime.engines import errors
from maestro_runtime.workspace import GlobEscapes, PathEscapes, WorkspaceTooLarge

USAGE = Usage(input_tokens=3)
ERRORS = [
    (errors.EngineError("x", USAGE), "call failed: x"),
    (errors.Transient("x", USAGE), "engine failed: x"),
    (errors.RateLimited("x", USAGE, 2.5), "engine is rate limited: x"),
    (errors.MalformedOutput("x"), "output is malformed: x"),
    (errors.Refused("x"), "engine refused: x"),
    (errors.Permanent("x"), "call cannot succeed: x"),
    (errors.EngineUnavailable("x"), "engine is unavailable: x"),
    (errors.EngineTimeout("x"), "call timed out: x"),
    (errors.EngineCrashed("x"), "engine crashed: x"),
    (errors.UnknownEngine("x", ("a", "b")), "unknown engine: must be one of a, b, got 'x'"),
    (
        errors.CallInFlight("00"),
        "call is in flight already: call id must be used once, got '00'",
    ),
    (errors.HostClosed(), "engine host is not running"),
    (
        GlobEscapes("/x", "it is absolute"),
        "glob must name files inside the workspace: it is absolute, got '/x'",
    ),
    (
        PathEscapes("/x", "it is absolute"),
        "path must stay inside the workspace: it is absolute, got '/x'",
    ),
    (WorkspaceTooLarge("files", 9), "artifacts exceed the limit of 9 files"),
]


@pytest.mark.parametrize(
    ("error", "text"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS]
)
def test_an_engine_error_says_what_was_wrong_and_survives_pickling(
    error: Exception, text: str
) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert str(error) == text
    assert str(copy) == text
    assert vars(copy) == vars(error)


def test_faults_of_the_engine_are_told_from_faults_of_its_work() -> None:
    judged = {
        kind.__name__: (kind.failure, kind.engine_fault)
        for kind in errors.EngineError.__subclasses__()
    }

    assert judged == {
        "Transient": ("transient", True),
        "RateLimited": ("rate_limited", False),
        "MalformedOutput": ("malformed_output", False),
        "Refused": ("refused", False),
        "Permanent": ("permanent", False),
        "EngineUnavailable": ("permanent", True),
        "EngineTimeout": ("transient", True),
        "EngineCrashed": ("transient", True),
    }
