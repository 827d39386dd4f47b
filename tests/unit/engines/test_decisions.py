"""What engines say they decided: kept in one spelling, or refused as malformed output."""

import pytest

from maestro_actors.engine import Outcome, Usage
from maestro_runtime.engines._outcomes import DECISIONS_BYTES_MAX, decided

OUTCOME = Outcome(usage=Usage(output_tokens=7), message="done")


def test_decisions_have_one_spelling() -> None:
    outcome = decided({"b": 1, "a": [2]}, OUTCOME)

    assert outcome.decisions == b'{"a":[2],"b":1}'
    assert outcome.message == "done"


@pytest.mark.parametrize(
    ("decisions", "text"),
    [
        ({"a": object()}, "decisions must be JSON: Encoding objects of type object is unsupported"),
        (["a"], "decisions must be an object, got list"),
        (
            {"a": "x" * DECISIONS_BYTES_MAX},
            f"decisions must have at most 65536 bytes, got {DECISIONS_BYTES_MAX + 8}",
        ),
    ],
)
def test_decisions_that_cannot_be_kept_are_malformed_and_cost_what_they_cost(
    decisions: object, text: str
) -> None:
    outcome = decided(decisions, OUTCOME)  # type: ignore[arg-type] # foreign code

    assert (outcome.failure, outcome.evidence) == (
        "malformed_output",
        (f"output is malformed: {text}",),
    )
    assert outcome.usage.output_tokens == 7
