import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_actors.engine import CallOrder, Outcome, Usage
from maestro_runtime.engines import Engine, EngineUnavailable
from maestro_runtime.engines.python import PythonEngine

MakeOrder = Callable[..., CallOrder]
Serve = Callable[[Engine, CallOrder], Outcome]

MODULE = """
import sys
import threading
from maestro_actors.errors import TokenBudgetExceeded
from maestro_runtime.edits import WholeFile
from maestro_runtime.engines import EngineResult, RateLimited

from maestro_engine_neighbour import WORD

def nothing(task): return None
def message(task): return f"{WORD} {task.task_id} {task.ordinal} {task.options['x']}"
def thread(task): return threading.current_thread().name
async def loop(task): return threading.current_thread().name
def counted(task): return {"message": "m", "input_tokens": 4, "output_tokens": 5}
def cached(task): return {"input_tokens": 9, "cache_read_tokens": 8, "requests": 2}
def overcached(task): return {"input_tokens": 9, "cache_read_tokens": 10}
def edits(task): return {"edits": [{"kind": "whole_file", "path": "a", "content": "x"}]}
def struct(task): return {"edits": (WholeFile(path="a", content="x"),)}
def wrong_edits(task): return {"output_tokens": 5, "edits": [{"kind": "whole_file", "path": "a"}]}
def unknown_edits(task): return {"output_tokens": 5, "edits": [{"kind": "delete", "path": "a"}]}
def negative(task): return {"input_tokens": -4}
def misspelt(task): return {"mesage": "m", "input_tokens": 4, "output_tokens": 5}
def unknown(task): return {"tokens": 4}
def number(task): return 7
def raises(task): raise LookupError("no such thing")
def stops(task): raise StopIteration("early")
def leaves(task): sys.exit(3)
async def leaves_loop(task): sys.exit(3)
def scope(task): return " ".join(task.scope)
def forbidden(task): raise PermissionError("not yours")
def broke(task): raise TokenBudgetExceeded("dev", 10, 10, 0, 1)
def limited(task): raise RateLimited("slow down", retry_after_seconds=2.5)
class Both:
    async def __call__(self, task): return "called"
both = Both()
value = 3
"""


@pytest.fixture
def engine() -> PythonEngine:
    return PythonEngine()


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of a team file with its modules, none of them imported yet."""
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "maestro_engine_probe.py").write_text(MODULE)
    (folder / "maestro_engine_neighbour.py").write_text('WORD = "did"')
    for name in ("maestro_engine_probe", "maestro_engine_neighbour"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return str(folder)


@pytest.fixture
def python_order(make_order: MakeOrder, modules: str) -> Callable[[str | None], CallOrder]:
    def make(reference: str | None) -> CallOrder:
        persona = {"engine": "python", "callable": reference, "import_dir": modules}
        options = {"options": {"x": 1}}
        return make_order(persona=persona | options, scope=("a.md",), token_budget=70)

    return make


@pytest.fixture
def call(
    engine: PythonEngine, python_order: Callable[[str], CallOrder], serve: Serve
) -> Callable[[str], Outcome]:
    return lambda function: serve(engine, python_order(f"maestro_engine_probe:{function}"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", ""),
        ("message", "did c-1 1 1"),
        ("counted", "m"),
        ("both", "called"),
        ("scope", "a.md"),
    ],
)
def test_a_function_is_called_with_the_task_and_its_answer_is_read(
    call: Callable[[str], Outcome], function: str, message: str
) -> None:
    outcome = call(function)

    assert outcome.failure is None
    assert outcome.message == message


def test_plain_functions_run_in_threads_and_coroutines_on_the_loop(
    call: Callable[[str], Outcome],
) -> None:
    assert call("thread").message.startswith("maestro-callable-")
    assert call("loop").message == "engines"


def test_tokens_are_those_the_function_reports_and_none_otherwise(
    call: Callable[[str], Outcome],
) -> None:
    assert call("counted").usage == Usage(input_tokens=4, output_tokens=5, basis="provider")
    assert call("cached").usage == Usage(
        input_tokens=9, cache_read_tokens=8, requests=2, basis="provider"
    )
    assert call("nothing").usage == Usage()


@pytest.mark.parametrize(
    ("function", "failure", "evidence"),
    [
        ("negative", "malformed_output", "dictionary returned by callable: Expected `int` >= 0"),
        ("overcached", "malformed_output", "must have the cached 10 tokens in it, got 9"),
        ("unknown", "malformed_output", "contains unknown field `tokens`"),
        ("number", "malformed_output", "a dictionary or an EngineResult, got int"),
        ("raises", "transient", "LookupError: no such thing"),
        ("stops", "transient", "RuntimeError: function raised StopIteration(early)"),
        ("leaves", "transient", "engine crashed: engine raised SystemExit"),
        ("leaves_loop", "transient", "engine crashed: engine raised SystemExit"),
        ("forbidden", "permanent", "PermissionError: not yours"),
        ("broke", "limit", "TokenBudgetExceeded: token budget of persona 'dev' cannot pay"),
        ("limited", "rate_limited", "engine is rate limited: slow down"),
    ],
)
def test_whatever_a_function_does_becomes_an_outcome(
    call: Callable[[str], Outcome], function: str, failure: str, evidence: str
) -> None:
    outcome = call(function)

    assert outcome.failure == failure
    assert evidence in outcome.evidence[0]


@pytest.mark.parametrize("function", ["edits", "struct"])
def test_edits_a_function_returns_are_applied(
    call: Callable[[str], Outcome], tmp_path: Path, function: str
) -> None:
    assert call(function).failure is None
    assert (tmp_path / "workspace/a").read_text() == "x"


@pytest.mark.parametrize(
    ("function", "evidence"),
    [
        ("wrong_edits", "Object missing required field `content` - at `$[0]`"),
        ("unknown_edits", "Invalid value 'delete' - at `$[0].kind`"),
    ],
)
def test_a_wrong_edit_does_not_cost_the_count_of_tokens(
    call: Callable[[str], Outcome], function: str, evidence: str
) -> None:
    outcome = call(function)

    assert outcome.failure == "malformed_output"
    assert outcome.evidence[0] == f"output is malformed: edits returned by callable: {evidence}"
    assert outcome.usage == Usage(output_tokens=5, basis="provider")


@pytest.mark.parametrize(
    ("function", "usage"),
    [
        ("misspelt", Usage(input_tokens=4, output_tokens=5, basis="provider")),
        ("negative", Usage(input_tokens=70, basis="reserved")),
    ],
)
def test_a_wrong_dictionary_is_booked_with_its_count_or_else_with_the_reservation(
    call: Callable[[str], Outcome], function: str, usage: Usage
) -> None:
    outcome = call(function)

    assert (outcome.failure, outcome.usage) == ("malformed_output", usage)


def test_an_exception_of_the_function_speaks_against_nobody(
    call: Callable[[str], Outcome],
) -> None:
    assert not call("raises").engine_fault


def test_a_pause_the_function_asks_for_is_passed_on(call: Callable[[str], Outcome]) -> None:
    assert call("limited").retry_after_seconds == 2.5


@pytest.mark.parametrize(
    ("reference", "detail"),
    [
        (None, "persona 'dev' has no callable"),
        ("maestro_engine_probe", "callable must be 'module:function', got 'maestro_engine_probe'"),
        ("no_such_module:f", "cannot be imported: ModuleNotFoundError"),
        ("maestro_engine_probe:none", "cannot be imported: AttributeError"),
        ("maestro_engine_probe:value", "callable 'maestro_engine_probe:value' is not callable"),
    ],
)
def test_a_function_that_is_not_there_shows_in_the_preflight_and_in_the_call(
    engine: PythonEngine,
    python_order: Callable[[str | None], CallOrder],
    serve: Serve,
    reference: str | None,
    detail: str,
) -> None:
    order = python_order(reference)

    assert detail in engine.preflight(order.persona).detail
    outcome = serve(engine, order)
    assert outcome.failure == EngineUnavailable.failure
    assert outcome.engine_fault
    assert detail in outcome.evidence[0]


def test_two_teams_with_a_module_of_the_same_name_are_not_mixed_up(
    engine: PythonEngine, call: Callable[[str], Outcome], make_order: MakeOrder, tmp_path: Path
) -> None:
    call("nothing")
    other = tmp_path / "other"
    other.mkdir()
    (other / "maestro_engine_probe.py").write_text("def nothing(task): return 'other'")
    reference = "maestro_engine_probe:nothing"
    order = make_order(persona={"callable": reference, "import_dir": str(other)})

    assert "is already loaded from" in engine.preflight(order.persona).detail


def test_importing_leaves_the_team_s_folder_and_the_module_path_as_they_were(
    modules: str, call: Callable[[str], Outcome]
) -> None:
    before = list(sys.path)

    assert call("nothing").failure is None
    assert sys.path == before
    assert sorted(path.name for path in Path(modules).iterdir()) == [
        "maestro_engine_neighbour.py",
        "maestro_engine_probe.py",
    ]


def test_a_function_that_never_returns_does_not_hold_the_call(
    engine: PythonEngine, tmp_path: Path, make_order: MakeOrder, serve: Serve
) -> None:
    (tmp_path / "maestro_engine_stuck.py").write_text(
        "import threading\ngate = threading.Event()\n"
        "def stuck(task): gate.wait(30)\n"
        "def release(task): gate.set()\n"
    )
    stuck = {
        "import_dir": str(tmp_path),
        "engine": "python",
        "callable": "maestro_engine_stuck:stuck",
        "timeout_seconds": 0.05,
    }

    outcome = serve(engine, make_order(persona=stuck))

    assert outcome.evidence == ("call timed out: exceeded its limit of 0.05 s",)
    held = [t for t in threading.enumerate() if t.name.startswith("maestro-callable-")]
    assert all(thread.daemon for thread in held)
    serve(engine, make_order(persona={**stuck, "callable": "maestro_engine_stuck:release"}))
