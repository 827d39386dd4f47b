import importlib.util
import sys
from typing import Any

import msgspec
import pytest

from maestro_actors import checks
from maestro_actors.checks import Check
from maestro_actors.engine import ProcessIdentity
from maestro_runtime.checks import _content, _worker
from maestro_runtime.checks._look import Look
from maestro_runtime.engines import EngineContext
from maestro_runtime.workspace import Workspace

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}

needs_extra = pytest.mark.skipif(
    not (importlib.util.find_spec("yaml") and importlib.util.find_spec("jsonschema_rs")),
    reason="needs the packages of the extra 'checks'",
)


@pytest.mark.parametrize(
    ("check", "good", "bad", "fault"),
    [
        (checks.TextRegex(pattern="(?m)^# "), "x\n# A", "x # A", "no match"),
        (checks.TextRegex(pattern="é"), "é", b"\xe9", "byte 0 is not UTF-8"),
        (
            checks.PythonCompiles(),
            "def f(): pass",
            "x = 1\ndef f(:",
            "line 2 column 7: invalid syntax",
        ),
        (
            checks.PythonCompiles(),
            b"# coding: latin-1\nx = '\xe9'",
            "return 1",
            "line 1 column 1: ",
        ),
        (checks.PythonCompiles(), "x = '\\d'", "x\0", "null bytes"),
        (checks.Parses(format="json"), '{"a": [1]}', '{"a": ', "line 1 column 7"),
        (checks.Parses(format="json"), "1", "NaN", "JSON has no NaN"),
        (checks.Parses(format="json"), "[]", "[" * 200_000, "nested too deeply"),
        (checks.Parses(format="toml"), "a = 1", "a = ", "Invalid value"),
        (checks.Parses(format="xml"), "<a><b/></a>", "<a><b></a>", "mismatched tag"),
        pytest.param(
            checks.Parses(format="yaml"), "a: [1, 2]", "a: [1", "expected", marks=needs_extra
        ),
        pytest.param(
            checks.Parses(format="yaml"),
            "a: 1",
            "!!python/object/apply:os.abort []",
            "could not determine a constructor",
            marks=needs_extra,
        ),
        pytest.param(
            checks.JsonSchema(schema=SCHEMA),
            '{"a": 1}',
            "{}",
            '"a" is a required',
            marks=needs_extra,
        ),
        pytest.param(
            checks.JsonSchema(schema=SCHEMA), '{"a": 1}', '{"a": "1"}', "/a: ", marks=needs_extra
        ),
        pytest.param(
            checks.JsonSchema(schema=SCHEMA), '{"a": 1}', "{", "line 1 column 2", marks=needs_extra
        ),
    ],
    ids=repr,
)
def test_a_check_of_content_passes_the_good_file_and_names_the_fault_of_the_bad_one(
    bench: Any, check: Check, good: bytes | str, bad: bytes | str, fault: str
) -> None:
    bench.write({"good": good, "bad": bad})

    first, second = bench.all(
        msgspec.structs.replace(check, files=("good",)),
        msgspec.structs.replace(check, files=("*",)),
    )

    assert (first.verdict, first.score, first.got) == ("pass", 1.0, "1 file")
    assert (second.verdict, second.score) == ("fail", 0.5)
    assert second.got.startswith("bad: ")
    assert fault in second.got


def test_a_check_of_content_without_a_file_fails(bench: Any) -> None:
    result = bench.one(checks.PythonCompiles())

    assert (result.verdict, result.got) == ("fail", "no file")


def test_a_regular_expression_that_runs_for_ages_is_killed_and_is_an_error(bench: Any) -> None:
    bench.write({"a": "a" * 60 + "b"})

    result = bench.one(checks.TextRegex(pattern="^(a+)+$"), content_seconds=0.5)

    assert (result.verdict, result.got) == ("error", "no answer within 0.5 s")


def test_what_needs_more_memory_than_there_is_never_passes(bench: Any) -> None:
    source = "x = " + "(" * 50 + "1" + ")" * 50 + "**9" * 300_000
    bench.write({"a.py": source})

    assert bench.one(checks.PythonCompiles()).verdict in ("fail", "error")


def test_an_xml_bomb_fails_without_being_expanded(bench: Any) -> None:
    entities = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10 if n else 'lol'}'>" for n in range(12))
    bench.write({"a.xml": f"<!DOCTYPE a [{entities}]><a>&e11;</a>"})

    assert bench.one(checks.Parses(format="xml"), content_seconds=5).verdict in ("fail", "error")


def test_a_huge_file_is_an_error_and_is_not_read(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_content, "FILE_BYTES_MAX", 3)
    bench.write({"a.json": "1234"})
    result = bench.one(checks.Parses(format="json"))
    assert (result.verdict, result.got) == ("error", "a.json: more than 3 bytes")

    monkeypatch.setattr(_content, "CONTENT_BYTES_MAX", 3)
    result = bench.one(checks.Parses(format="json"))
    assert (result.verdict, result.got) == ("error", "files of more than 3 bytes together")


@pytest.mark.parametrize(
    ("module", "kind", "argument", "package"),
    [("yaml", "parses", "yaml", "PyYAML"), ("jsonschema_rs", "json_schema", {}, "jsonschema-rs")],
)
def test_a_package_that_is_missing_is_named_and_is_no_pass(
    monkeypatch: pytest.MonkeyPatch, module: str, kind: str, argument: object, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    answer = _worker.answer_to(kind, argument, {"a": b"1"})

    assert answer["error"] == f"package {package!r} is not installed (extra 'checks')"


@needs_extra
@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "http://localhost:1/schema.json"}], ids=str
)
def test_a_schema_that_cannot_be_used_is_an_error(bench: Any, schema: dict[str, Any]) -> None:
    bench.write({"a.json": "1"})

    result = bench.one(checks.JsonSchema(schema=schema))

    assert result.verdict == "error"
    assert result.got.startswith("schema cannot be used: ")


def test_a_pattern_that_does_not_compile_is_an_error(bench: Any) -> None:
    bench.write({"a": "x"})

    result = bench.one(checks.TextRegex(pattern="("))

    assert result.verdict == "error"
    assert result.got.startswith("regular expression is not valid: ")


def test_a_score_counts_every_fault_and_the_text_tells_of_the_first(bench: Any) -> None:
    bench.write({f"{number:02}.json": "{" for number in range(30)} | {"ok.json": "1"})

    result = bench.one(checks.Parses(format="json"))

    assert result.score == pytest.approx(1 / 31)
    assert result.got.startswith("00.json: ")
    assert result.got.endswith("; 27 more")


def test_a_file_that_changes_while_it_is_checked_is_judged_by_nothing_else(bench: Any) -> None:
    bench.write({"a.json": "1"})
    workspace = Workspace(bench.root)
    manifest = workspace.manifest(("*",))
    bench.write({"a.json": "2"})
    check = checks.Parses(format="json")

    contents = _content._contents(
        Look(bench.order(check), workspace, {}, manifest, EngineContext(recorded))
    )

    assert contents == "a.json: changed while it was checked"


async def recorded(process: ProcessIdentity) -> None:
    """Accept any process at once."""
