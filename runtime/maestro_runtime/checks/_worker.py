"""The program that looks into files; `_content` starts it, nobody calls it.

It reads a line of JSON with `kind`, `argument` and `files` (path and size of each), then the
content of the files, one behind the other. It writes one line of JSON: `faults`, one sentence for
each file that fails, `failed`, their paths, and `error`, empty unless the check could not be
evaluated.
"""

import importlib
import json
import resource
import sys
import tomllib
from collections.abc import Callable
from re import compile as compile_regex
from typing import Any, Final
from xml.parsers import expat

MEMORY_BYTES_MAX: Final = 1 << 30
"""Address space of the process: what needs more is not judged."""

FAULT_CHARACTERS_MAX: Final = 300

FAULTS_TOLD_MAX: Final = 20
"""Most faults that are put in words; the score needs the others too, but no text."""

Judge = Callable[[bytes], str]
"""Returns what is wrong with a content; empty if nothing is."""


class CannotJudge(Exception):
    """The check itself, not a file, is at fault; a package may be missing."""


def judge_of(kind: str, argument: Any) -> Judge:
    """Return the function that judges one file.

    Raises:
        CannotJudge: The argument is not valid, or a package is missing.
    """
    if kind == "text_regex":
        return _regex(argument)
    if kind == "json_schema":
        return _schema(argument)
    if kind == "python_compiles":
        return _compiles
    if argument == "yaml":
        return _yaml()
    return {"json": _json, "toml": _toml, "xml": _xml}[argument]


def fault_of(judge: Judge, content: bytes) -> str:
    """Return what is wrong with a content, on one line; empty if nothing is."""
    try:
        fault = judge(content)
    except UnicodeDecodeError as error:
        fault = f"byte {error.start} is not UTF-8"
    except SyntaxError as error:
        column = "" if error.offset is None else f" column {error.offset}"
        fault = f"line {error.lineno}{column}: {error.msg}"
    except (RecursionError, MemoryError):
        fault = "is nested too deeply, or too large"
    except (ValueError, expat.ExpatError) as error:
        fault = str(error) or type(error).__name__
    return " ".join(fault.split())[:FAULT_CHARACTERS_MAX]


def _regex(pattern: str) -> Judge:
    try:
        regex = compile_regex(pattern)
    except Exception as error:
        raise CannotJudge(f"regular expression is not valid: {error}") from error
    return lambda content: "" if regex.search(content.decode()) else "no match"


def _schema(schema: dict[str, Any]) -> Judge:
    library = _needed("jsonschema_rs", "jsonschema-rs")
    try:
        # Without a retriever it would fetch schemas that this one refers to from the network.
        validator = library.validator_for(schema, retriever=_refuse_to_fetch)
    except Exception as error:
        raise CannotJudge(f"schema cannot be used: {error}") from error

    def judge(content: bytes) -> str:
        error = next(iter(validator.iter_errors(_value(content))), None)
        if error is None:
            return ""
        place = "".join(f"/{step}" for step in error.instance_path)
        return f"{place or '/'}: {error.message}"

    return judge


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"schema must not refer to another one, got {uri!r}")


def _compiles(content: bytes) -> str:
    compile(content, "<file>", "exec", dont_inherit=True)
    return ""


def _value(content: bytes) -> Any:
    return json.loads(content.decode(), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def _json(content: bytes) -> str:
    _value(content)
    return ""


def _toml(content: bytes) -> str:
    tomllib.loads(content.decode())
    return ""


def _xml(content: bytes) -> str:
    expat.ParserCreate().Parse(content, True)  # noqa: FBT003 - positional only
    return ""


def _yaml() -> Judge:
    library = _needed("yaml", "PyYAML")

    def judge(content: bytes) -> str:
        try:
            for _ in library.safe_load_all(content.decode()):
                pass
        except library.YAMLError as error:
            return str(error)
        return ""

    return judge


def _needed(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CannotJudge(f"package {package!r} is not installed (extra 'checks')") from error


def answer_to(kind: str, argument: Any, contents: dict[str, bytes]) -> dict[str, Any]:
    """Return the answer to one request."""
    try:
        judge = judge_of(kind, argument)
        found = {path: fault_of(judge, content) for path, content in contents.items()}
    except CannotJudge as error:
        return {"faults": [], "failed": [], "error": str(error)}
    failed = [path for path, fault in found.items() if fault]
    faults = [f"{path}: {found[path]}" for path in failed]
    told = faults[:FAULTS_TOLD_MAX]
    untold = [""] * (len(faults) - len(told))
    return {"faults": told + untold, "failed": failed, "error": ""}


def main() -> None:
    """Serve one request."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    stream = sys.stdin.buffer
    header = json.loads(stream.readline())
    contents = {path: stream.read(size) for path, size in header["files"]}
    print(json.dumps(answer_to(header["kind"], header["argument"], contents)))  # noqa: T201


if __name__ == "__main__":
    main()
