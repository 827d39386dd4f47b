from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maestro_actors import checks
from maestro_runtime.config import LoadedTeam, TeamFileInvalid

Document = dict[str, Any]
Load = Callable[[Document], LoadedTeam]

SCHEMA = {"type": "object", "required": ["a"]}


def with_checks(document: Document, *tables: Any) -> Document:
    document["contracts"][0]["checks"] = list(tables)
    return document


def findings(load: Load, document: Document) -> list[str]:
    with pytest.raises(TeamFileInvalid) as caught:
        load(document)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("table", "check"),
    [
        ({"kind": "exists", "min": 2, "max": 3}, checks.Exists(min=2, max=3)),
        ({"kind": "changed_since_start"}, checks.ChangedSinceStart()),
        ({"kind": "min_bytes", "bytes": 1}, checks.MinBytes(bytes=1)),
        ({"kind": "max_bytes", "bytes": 1, "weight": 2}, checks.MaxBytes(bytes=1, weight=2.0)),
        ({"kind": "text_regex", "pattern": "^#"}, checks.TextRegex(pattern="^#")),
        ({"kind": "json_schema", "schema": SCHEMA}, checks.JsonSchema(schema=SCHEMA)),
        (
            {"kind": "python_compiles", "files": ["*.py"], "required": False},
            checks.PythonCompiles(files=("*.py",), required=False),
        ),
        ({"kind": "parses", "format": "yaml"}, checks.Parses(format="yaml")),
        (
            {"kind": "command", "argv": ["true"], "timeout_seconds": 3, "expect_exit": 1},
            checks.Command(argv=("true",), timeout_seconds=3.0, expect_exit=1),
        ),
        ({"kind": "no_forbidden", "glob": "*.tmp"}, checks.NoForbidden(glob="*.tmp")),
        (
            {"kind": "human", "question": "Nice?", "name": "taste"},
            checks.Human(question="Nice?", name="taste"),
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_table_becomes_the_check_it_describes(
    document: Document, load: Load, table: Document, check: checks.Check
) -> None:
    assert load(with_checks(document, table)).team.contracts[0].checks == (check,)


def test_programs_and_modules_of_the_team_are_found_where_its_file_lies(
    document: Document, load: Load, tmp_path: Path
) -> None:
    (tmp_path / "check.py").touch()
    tables = (
        {"kind": "command", "argv": ["python3", "check.py", "other.py"]},
        {"kind": "callable", "callable": "judges:judge"},
    )

    command, function = load(with_checks(document, *tables)).team.contracts[0].checks

    assert isinstance(command, checks.Command)
    assert command.argv == ("python3", str(tmp_path / "check.py"), "other.py")
    assert function == checks.Callable(callable="judges:judge", import_dir=str(tmp_path))


def test_a_deliverable_has_checks_of_its_own(document: Document, load: Load) -> None:
    document["contracts"][0]["deliverables"][0]["checks"] = [{"kind": "python_compiles"}]

    contract = load(document).team.contracts[0]

    assert contract.owed_checks == ((checks.PythonCompiles(), ("src/*.py",)),)


@pytest.mark.parametrize(
    ("table", "finding"),
    [
        ("x", "must be a table, got 'x'"),
        ({}, ".kind: is required (known: callable, changed_since_start, command, exists, human, "),
        ({"kind": 1}, ".kind: must be a string, got 1"),
        (
            {"kind": "python_compile"},
            ".kind: 'python_compile' is not a known kind of check, did you mean 'python_compiles'?",
        ),
        ({"kind": "exists", "glob": "a"}, ".glob: 'glob' is not a known key (known: files, kind, "),
        ({"kind": "exists", "weight": 0}, ".weight: must be a number above 0 and at most 1000000"),
        ({"kind": "exists", "required": 1}, ".required: must be true or false, got 1"),
        ({"kind": "exists", "name": ""}, ".name: is required"),
        ({"kind": "exists", "files": []}, ".files: must have at least one glob"),
        ({"kind": "exists", "files": ["a", "../b"]}, ".files[1]: "),
        ({"kind": "exists", "min": -1}, ".min: must be an integer of at least 0"),
        ({"kind": "exists", "max": 0}, ".max: must be at least min (1), got 0"),
        ({"kind": "exists", "min": 3, "max": 2}, ".max: must be at least min (3), got 2"),
        ({"kind": "min_bytes"}, ".bytes: is required"),
        ({"kind": "text_regex"}, ".pattern: is required"),
        ({"kind": "text_regex", "pattern": "("}, ".pattern: must be a regular expression: missing"),
        ({"kind": "json_schema"}, ".schema: is required"),
        ({"kind": "json_schema", "schema": "x"}, ".schema: must be a table, got 'x'"),
        ({"kind": "parses"}, ".format: is required"),
        (
            {"kind": "parses", "format": "jsn"},
            ".format: 'jsn' is not a known format, did you mean 'json'? (known: json, toml, xml",
        ),
        ({"kind": "command"}, ".argv: is required"),
        ({"kind": "command", "argv": []}, ".argv: must name a program"),
        ({"kind": "command", "argv": ["a", "\0"]}, ".argv[1]: must have no NUL"),
        (
            {"kind": "command", "argv": ["a"], "expect_exit": 256},
            ".expect_exit: must be an integer",
        ),
        ({"kind": "command", "argv": ["a"], "timeout_seconds": 0}, ".timeout_seconds: must be a"),
        ({"kind": "no_forbidden"}, ".glob: is required"),
        ({"kind": "no_forbidden", "glob": "/etc/*"}, ".glob: "),
        ({"kind": "no_forbidden", "glob": "a", "files": ["b"]}, ".files: 'files' is not a known"),
        ({"kind": "callable"}, ".callable: is required"),
        ({"kind": "callable", "callable": "a.b"}, ".callable: must be written module:function"),
        ({"kind": "human"}, ".question: is required"),
        ({"kind": "human", "question": " "}, ".question: is required"),
    ],
    ids=str,
)
def test_a_check_that_breaks_a_rule_is_named_with_the_rule(
    document: Document, load: Load, table: Any, finding: str
) -> None:
    (found,) = findings(load, with_checks(document, {"kind": "exists"}, table))

    assert found.startswith("contracts[0].checks[1]")
    assert finding in found


def test_all_mistakes_are_told_at_once(document: Document, load: Load) -> None:
    tables = ({"kind": "nope"}, {"kind": "min_bytes"}, {"kind": "exists", "files": [""]})
    document["contracts"][0]["deliverables"][0]["checks"] = [{"kind": "parses", "format": "x"}]

    found = findings(load, with_checks(document, *tables))

    assert [text.partition(": ")[0] for text in found] == [
        "contracts[0].checks[0].kind",
        "contracts[0].deliverables[0].checks[0].format",
        "contracts[0].checks[1].bytes",
        "contracts[0].checks[2].files[0]",
    ]


def test_without_deliverables_a_check_of_files_must_name_them(
    document: Document, load: Load
) -> None:
    document["contracts"][1]["checks"] = [
        {"kind": "exists"},
        {"kind": "exists", "files": ["a"]},
        {"kind": "command", "argv": ["true"]},
        {"kind": "human", "question": "Nice?"},
    ]

    assert findings(load, document) == [
        "contracts[1].checks[0].files: is required, because the contract has no deliverables"
    ]


def test_a_contract_has_a_bounded_number_of_checks(document: Document, load: Load) -> None:
    with_checks(document, *[{"kind": "exists"}] * 50)
    document["contracts"][0]["deliverables"][0]["checks"] = [{"kind": "exists"}]

    assert findings(load, document) == [
        "contracts[0].checks: must be at most 50 with those of the deliverables, got 51"
    ]
