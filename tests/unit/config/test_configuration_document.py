"""docs/configuration.md and docs/contracts.md have every key, with its built-in value."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict

from maestro_actors.engine import FAILURE_CLASSES
from maestro_actors.team import BreakerPolicy, Persona, RetryPolicy
from maestro_runtime.config._tables import (
    BreakerTable,
    BudgetTable,
    CheckTable,
    ContractTable,
    DeliverableTable,
    PersonaTable,
    PhaseTable,
    TeamTable,
)
from maestro_runtime.config.policy import EngineLimitsTable, LimitsTable, PersonaLimitsTable
from maestro_runtime.engines import SCRIPT_STEPS

DOCS = Path(__file__).parents[3] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text()
CONTRACTS = (DOCS / "contracts.md").read_text()


@pytest.mark.parametrize(
    "table",
    [
        TeamTable,
        PersonaTable,
        PhaseTable,
        ContractTable,
        DeliverableTable,
        BudgetTable,
        BreakerTable,
        LimitsTable,
        EngineLimitsTable,
        PersonaLimitsTable,
    ],
)
def test_every_key_is_on_the_page(table: type[msgspec.Struct]) -> None:
    named = set(re.findall(r"\b\w+\b", " ".join(re.findall(r"`[^`]+`", CONFIGURATION))))

    assert set(table.__struct_fields__) - named == set()


@pytest.mark.parametrize(
    ("heading", "built_in"),
    [
        ("Personas", {**asdict(Persona(persona_id="p")), **asdict(RetryPolicy())}),
        ("Circuit breakers", asdict(BreakerPolicy())),
    ],
)
def test_built_in_values_are_those_of_the_page(heading: str, built_in: dict[str, Any]) -> None:
    section = CONFIGURATION.split(f"## {heading}\n")[1].split("\n## ")[0]
    said = {}
    for keys, values in re.findall(r"^\| (`.+?`) \| (.+?) \|", section, re.MULTILINE):
        for key, value in zip(keys.split(", "), _values(values), strict=False):
            said[key.strip("`")] = value

    assert len(said) > 3
    assert _plain({key: built_in[key] for key in said}) == said


def test_every_kind_of_check_and_class_of_failure_is_on_the_page() -> None:
    named = set(re.findall(r"`(\w+)`", CONTRACTS))

    fields = {name for kind in CheckTable.KINDS.values() for name in kind.__struct_fields__}
    own = {"min", "max", "expect_exit", "timeout_seconds", "kind"}
    keys = set(re.findall(r"\b\w+\b", CONTRACTS))
    assert set(CheckTable.KINDS) - named == set()
    assert fields - own - named == set()
    assert own - keys == set()
    assert {name for name in FAILURE_CLASSES if name != "unanswered"} - named == set()
    assert set(SCRIPT_STEPS) - named == set()


def _values(text: str) -> list[Any]:
    """Read one or several values as TOML has them; none where there is none."""
    try:
        return list(tomllib.loads(f"all = [{text.replace('`', '')}]")["all"])
    except tomllib.TOMLDecodeError:
        return []


def _plain(values: dict[str, Any]) -> Any:
    """Return values as TOML would have them."""
    return msgspec.json.decode(msgspec.json.encode(values))
