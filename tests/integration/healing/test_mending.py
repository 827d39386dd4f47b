"""Files repaired after an engine ended well: real files, real checks, one call."""

import queue
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from maestro_actors import checks
from maestro_actors.checks import Check
from maestro_actors.engine import CallOrder, Outcome, ProcessIdentity, Usage
from maestro_actors.tasks.contracts import judge
from maestro_actors.team import Contract, Deliverable, Persona
from maestro_runtime.checks import Checks
from maestro_runtime.engines import (
    Engine,
    EngineContext,
    EngineHost,
    EngineRegistry,
    EngineResult,
)
from maestro_runtime.engines.driver import Driver
from maestro_runtime.healing import BUILT_IN, FileMender, Fix
from maestro_runtime.workspace import Workspace

JSON = checks.Parses(format="json")
PYTHON = checks.PythonCompiles()


class WritingEngine(Engine):
    """Writes what its test wants, and counts its calls."""

    name = "writing"

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self._files = files
        self.calls = 0

    def estimate(self, order: CallOrder) -> int:
        return 0

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        self.calls += 1
        for path, content in self._files.items():
            raw = content.encode() if isinstance(content, str) else content
            Workspace(order.workspace).write_bytes(path, raw)
        return EngineResult(usage=Usage(output_tokens=7))


class Bench:
    """Serves one call in a workspace of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.contract = Contract(id="c", name="c", phase="p", provider_persona_id="dev")
        self.hosts: list[EngineHost] = []

    def owe(self, *globs: str, checks: tuple[Check, ...]) -> None:
        self.contract = msgspec.structs.replace(
            self.contract,
            deliverables=(Deliverable(name="d", artifacts=globs),),
            checks=checks,
        )

    def serve(self, files: Mapping[str, str | bytes], fixes: tuple[Fix, ...] = BUILT_IN) -> Outcome:
        engine = WritingEngine(files)
        host = EngineHost(
            EngineRegistry([engine]),
            Checks(Driver("test-healing")),
            FileMender(Driver("test-healing"), fixes),
        )
        self.hosts.append(host)
        outcomes: queue.Queue[Outcome] = queue.Queue()
        order = CallOrder(
            session_id="s",
            task_id="c",
            call_id="0" * 32,
            round=1,
            attempt=1,
            ordinal=1,
            persona=Persona(persona_id="dev", engine="writing"),
            contract=self.contract,
            requirement="r",
            workspace=str(self.root),
        )
        host.submit(order, outcomes.put, _recorded)
        outcome = outcomes.get(timeout=40)
        assert engine.calls == 1
        assert outcome.usage == Usage(output_tokens=7)
        return outcome

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def fulfilled(self, outcome: Outcome) -> bool:
        return judge(self.contract, outcome).contract_fulfilled


async def _recorded(process: ProcessIdentity) -> None:
    """Accept any process at once."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "workspace")
    yield bench
    for host in bench.hosts:
        host.close(grace_seconds=1)


@pytest.mark.parametrize(
    ("check", "wrong", "right", "healing"),
    [
        (JSON, '```json\n{"a": 1}\n```\n', '{"a": 1}\n', "strip_code_fences: a.json"),
        (JSON, '{"a": [1,],}', '{"a": [1]}', "drop_trailing_commas: a.json"),
        (
            JSON,
            "```\n[1,]\n```",
            "[1]\n",
            "strip_code_fences, drop_trailing_commas: a.json",
        ),
        (PYTHON, "```python\nx = 1\n```\n", "x = 1\n", "strip_code_fences: a.py"),
    ],
    ids=["fenced", "trailing comma", "both", "fenced Python"],
)
def test_a_file_that_fails_for_its_wrapping_is_repaired_within_the_call(
    bench: Bench, check: Check, wrong: str, right: str, healing: str
) -> None:
    path = healing.rpartition(" ")[2]
    bench.owe(path, checks=(check,))

    outcome = bench.serve({path: wrong})

    assert bench.fulfilled(outcome)
    assert bench.text(path) == right
    assert outcome.healing == (healing,)
    (artifact,) = outcome.artifacts
    assert artifact.size_bytes == len(right), "what counts is what is on disk now"


def test_what_passes_and_what_cannot_be_repaired_stays_as_it_is_byte_for_byte(
    bench: Bench,
) -> None:
    files: dict[str, str | bytes] = {
        "good.json": '"```\\n,]"',
        "bad.json": "{'a': 1,}",
        "latin.json": b'```\n"\xe9"\n```',
        "curable.json": "[1,]",
    }
    bench.owe("*.json", checks=(JSON,))

    outcome = bench.serve(files)

    assert outcome.healing == ("drop_trailing_commas: curable.json",)
    assert not bench.fulfilled(outcome)
    assert bench.text("curable.json") == "[1]"
    for path in ("good.json", "latin.json"):
        content = files[path]
        raw = content.encode() if isinstance(content, str) else content
        assert (bench.root / path).read_bytes() == raw
    assert bench.text("bad.json") == "{'a': 1,}"


def test_a_repair_that_would_break_another_check_is_not_made(bench: Bench) -> None:
    bench.owe("a.json", checks=(JSON, checks.TextRegex(pattern="^```")))

    outcome = bench.serve({"a.json": "```\n1\n```\n"})

    assert (outcome.healing, bench.text("a.json")) == ((), "```\n1\n```\n")
    assert not bench.fulfilled(outcome)


def test_a_file_outside_the_globs_of_the_contract_is_never_touched(bench: Bench) -> None:
    bench.owe("mine/*.json", checks=(checks.Parses(format="json", files=("**/*.json",)),))

    outcome = bench.serve({"mine/a.json": "[1,]", "theirs/a.json": "[2,]"})

    assert bench.text("mine/a.json") == "[1]"
    assert bench.text("theirs/a.json") == "[2,]"
    assert outcome.healing == ("drop_trailing_commas: mine/a.json",)


def test_a_missing_package_marker_is_created_for_delivered_modules(bench: Bench) -> None:
    bench.owe("pkg/a.py", "pkg/__init__.py", checks=(PYTHON,))

    outcome = bench.serve({"pkg/a.py": "x = 1\n"})

    assert bench.fulfilled(outcome)
    assert outcome.healing == ("created: pkg/__init__.py",)
    assert (bench.root / "pkg/__init__.py").read_bytes() == b""
    assert outcome.missing == ()
    assert outcome.evidence == ()


@pytest.mark.parametrize(
    ("program", "helps"),
    [
        ("import pkg.sub as p; p.__file__ or exit('ImportError: no marker')", True),
        ("exit('ImportError: whatever')", False),
    ],
)
def test_markers_that_an_import_misses_are_created_and_removed_again_if_they_do_not_help(
    bench: Bench, program: str, helps: bool
) -> None:
    bench.owe("pkg/**/*.py", checks=(checks.Command(argv=("python3", "-B", "-c", program)),))

    outcome = bench.serve({"pkg/sub/a.py": "x = 1\n"})

    assert bench.fulfilled(outcome) is helps
    assert (bench.root / "pkg/sub/__init__.py").exists() is helps
    what = "created" if helps else "created in vain"
    assert outcome.healing == (f"{what}: pkg/sub/__init__.py", f"{what}: pkg/__init__.py")
    assert len(outcome.artifacts) == (3 if helps else 1)


class Foreign:
    """A fix from outside."""

    name = "foreign"
    checks = frozenset({"python_compiles"})

    def __init__(self, act: Callable[[str], Any]) -> None:
        self._act = act

    def mend(self, path: str, text: str) -> str | None:
        result: str | None = self._act(text)
        return result


def test_a_fix_that_was_plugged_in_mends_what_the_built_in_ones_cannot(bench: Bench) -> None:
    bench.owe("a.py", checks=(PYTHON,))
    tabs = Foreign(lambda text: text.expandtabs(4))
    mixed = "if 1:\n    x = 1\n\ty = 1\n"

    assert bench.serve({"a.py": mixed}).healing == ()
    outcome = bench.serve({"a.py": mixed}, (*BUILT_IN, tabs))

    assert bench.fulfilled(outcome)
    assert outcome.healing == ("foreign: a.py",)


@pytest.mark.parametrize(
    "nonsense",
    [
        lambda text: text / 0,
        lambda text: "also wrong (",
        lambda text: "\ud800",
        lambda text: 3,
        lambda text: [][len("\ud800")],
    ],
)
def test_a_fix_that_fails_or_mends_nothing_does_no_harm(
    bench: Bench, nonsense: Callable[[str], Any]
) -> None:
    bench.owe("a.py", checks=(PYTHON,))

    outcome = bench.serve({"a.py": "x = ("}, (Foreign(nonsense),))

    assert bench.text("a.py") == "x = ("
    assert outcome.failure is None
    assert [note[:14] for note in outcome.healing] in ([], ["foreign failed"])
    assert outcome.checks[0].got.startswith("a.py: line 1 column 5: ")


def test_a_fix_that_does_not_say_what_it_is_for_does_no_harm(bench: Bench) -> None:
    careless = Foreign(lambda _: "x = 1")
    # Foreign code is not type-checked.
    careless.checks = None  # type: ignore[assignment]
    bench.owe("a.py", checks=(PYTHON,))

    outcome = bench.serve({"a.py": "x = ("}, (careless,))

    assert (outcome.failure, bench.text("a.py")) == (None, "x = (")
    assert outcome.healing[0].startswith("foreign failed: TypeError: ")


def test_a_workspace_that_takes_no_repair_leaves_the_work_as_good_as_it_was(bench: Bench) -> None:
    bench.owe("a.json", checks=(JSON,))
    (bench.root / ".maestro").mkdir(parents=True)
    (bench.root / ".maestro/edits").write_text("in the way")

    outcome = bench.serve({"a.json": "[1,]"})

    assert outcome.healing[0].startswith("repair failed: ")
    assert (outcome.failure, bench.text("a.json")) == (None, "[1,]")
