"""What must hold for the checks of contracts beyond the type of each value."""

import re
from typing import Final, get_args

from msgspec import UNSET

from maestro_actors.checks import ParsedFormat
from maestro_runtime.config._check_personas import check_argv, is_callable
from maestro_runtime.config._names import check_title
from maestro_runtime.config._problems import KeyPath, Problems, shown, unknown
from maestro_runtime.config._tables import (
    BytesTable,
    CallableCheckTable,
    CheckTable,
    CommandCheckTable,
    ContractTable,
    ExistsTable,
    FilesCheckTable,
    HumanTable,
    JsonSchemaTable,
    NoForbiddenTable,
    ParsesTable,
    TextRegexTable,
)
from maestro_runtime.workspace import GlobEscapes, check_glob

CHECKS_MAX: Final = 50
"""Most checks of one contract: all their results travel in one message."""

FORMATS: Final[tuple[str, ...]] = get_args(ParsedFormat)

REQUIRED: Final[dict[type[CheckTable], str]] = {
    BytesTable: "bytes",
    CallableCheckTable: "callable",
    CommandCheckTable: "argv",
    HumanTable: "question",
    JsonSchemaTable: "schema",
    NoForbiddenTable: "glob",
    ParsesTable: "format",
    TextRegexTable: "pattern",
}
"""The key that a kind cannot do without."""


def check_checks(contract: ContractTable, path: KeyPath, problems: Problems) -> None:
    """Note what is wrong with the checks of a contract and of its deliverables."""
    found = [
        (check, (*path, "deliverables", place, "checks", at))
        for place, deliverable in enumerate(contract.deliverables)
        for at, check in enumerate(deliverable.checks)
    ]
    found += [(check, (*path, "checks", at)) for at, check in enumerate(contract.checks)]
    if len(found) > CHECKS_MAX:
        problems.add(
            (*path, "checks"),
            f"must be at most {CHECKS_MAX} with those of the deliverables, got {len(found)}",
        )
    globs = any(deliverable.artifacts for deliverable in contract.deliverables)
    for check, place_of_check in found:
        _check_common(check, place_of_check, problems, has_default=globs)
        _check_kind(check, place_of_check, problems)


def _check_common(
    check: CheckTable, path: KeyPath, problems: Problems, *, has_default: bool
) -> None:
    """Note what is wrong with the keys that many kinds share."""
    if check.name is not UNSET:
        check_title(check.name, (*path, "name"), problems)
    if not isinstance(check, FilesCheckTable):
        return
    if check.files == ():
        problems.add((*path, "files"), "must have at least one glob")
    may_do_without = isinstance(check, CommandCheckTable | CallableCheckTable | HumanTable)
    if check.files is UNSET and not has_default and not may_do_without:
        problems.add((*path, "files"), "is required, because the contract has no deliverables")
    for at, glob in enumerate(check.files or ()):
        _check_glob(glob, (*path, "files", at), problems)


def _check_kind(  # noqa: C901 - one case a kind
    check: CheckTable, path: KeyPath, problems: Problems
) -> None:
    """Note what is wrong with the keys of one kind."""
    key = REQUIRED.get(type(check), "kind")
    value = getattr(check, key)
    place = (*path, key)
    if value is UNSET:
        problems.add(place, "is required")
        return
    match check:
        case ExistsTable():
            least = 1 if check.min is UNSET else check.min
            if check.max is not UNSET and check.max < least:
                problems.add((*path, "max"), f"must be at least min ({least}), got {check.max}")
        case TextRegexTable():
            _check_regex(value, place, problems)
        case ParsesTable():
            if value not in FORMATS:
                problems.add(place, unknown(value, "format", FORMATS))
        case CommandCheckTable():
            check_argv(value, place, problems)
        case NoForbiddenTable():
            _check_glob(value, place, problems)
        case CallableCheckTable():
            if not is_callable(value):
                problems.add(place, f"must be written module:function, got {shown(value)}")
        case HumanTable():
            check_title(value, place, problems)


def _check_glob(glob: str, path: KeyPath, problems: Problems) -> None:
    """Note a glob that leaves the workspace or names no file."""
    try:
        check_glob(glob)
    except GlobEscapes as error:
        problems.add(path, str(error))


def _check_regex(pattern: str, path: KeyPath, problems: Problems) -> None:
    """Note a regular expression that does not compile."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        problems.add(path, f"must be a regular expression: {error}, got {shown(pattern)}")
