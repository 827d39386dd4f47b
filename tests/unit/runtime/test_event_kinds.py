"""Who asks for events of a kind is told if there is none: all there are have to be known."""

import ast
from collections.abc import Iterator
from pathlib import Path

from maestro_runtime.cli._event_line import KINDS
from maestro_storage.records import TASK_FINAL

ROOT = Path(__file__).parents[3]
MAPS = ("_KINDS", "_SENT", "_DELAYED")
"""Where kinds are looked up."""


def _texts(tree: ast.AST) -> Iterator[str]:
    """Yield the kinds that a module writes as they are; of composed ones, what they begin with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            for given in node.args[:2] if name in ("Event", "event") else ():
                first = given.values[0] if isinstance(given, ast.JoinedStr) else given
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
            values = node.value.values if getattr(node.target, "id", "") in MAPS else ()
            yield from (
                value.value
                for value in values
                if isinstance(value, ast.Constant) and isinstance(value.value, str)
            )


def test_each_kind_of_event_that_is_written_is_known() -> None:
    modules = [path for root in ("actors", "runtime") for path in (ROOT / root).rglob("*.py")]
    written = {text for path in modules for text in _texts(ast.parse(path.read_text()))}

    assert {text for text in written if text.endswith("_")} == {"session_", "task_"}
    assert {text for text in written if not text.endswith("_")} - KINDS == set()
    assert len(written) > 20


def test_each_end_of_a_session_a_task_and_an_attempt_is_a_known_kind() -> None:
    ends = {f"session_{state}" for state in ("done", "failed", "help_needed", "cancelled")}
    ends |= {f"task_{state}" for state in TASK_FINAL}
    ends |= {f"attempt_{state}" for state in ("succeeded", "failed", "interrupted")}

    assert ends - KINDS == set()
