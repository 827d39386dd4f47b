"""Each rule of a team file, broken once."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from maestro_runtime.config import LoadedTeam, Problem, Settings, TeamFileInvalid, load_team
from maestro_runtime.engines.script import SCRIPT_STEPS

Document = dict[str, Any]
Load = Callable[[Document], LoadedTeam]

NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PERSONA = "personas.qa_engineer"
TRIES = "must be an integer of at least 1 and at most 1000, got "
TOKENS = "must be an integer of at least 1 and at most 1000000000000, got "
PAUSE = "must be a number of at least 0 and at most 31536000, got "
LIMIT = "must be a number above 0 and at most 31536000, got "
STEPS = ", ".join(sorted(SCRIPT_STEPS))
PLAIN = (
    "must be a string, a boolean, a finite number, a list or a table, and integers below 2**63, "
)


def problems_of(document: Document, load: Load) -> list[tuple[str, str]]:
    with pytest.raises(TeamFileInvalid) as caught:
        load(document)
    return [(problem.key, problem.text) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "case",
    [
        ("engine", 1, "", "must be a string, got 1"),
        ("engine", "a b", "", f"must match {NAME}, got 'a b'"),
        ("max_attempts", 0, "", TRIES + "0"),
        ("max_attempts", True, "", TRIES + "True"),
        ("max_rounds", 1001, "", TRIES + "1001"),
        ("token_budget", "1", "", TOKENS + "'1'"),
        ("token_budget", 10**40, "", TOKENS + "an integer of 133 bits"),
        ("backoff_seconds", -1, "", PAUSE + "-1"),
        ("backoff_max_seconds", float("nan"), "", PAUSE + "nan"),
        ("latency_seconds", float("inf"), "", PAUSE + "inf"),
        ("timeout_seconds", 0, "", LIMIT + "0"),
        ("round_backoff_seconds", [], "", "must have at least one number"),
        ("round_backoff_seconds", [1, "x"], "[1]", PAUSE + "'x'"),
        ("give_up_on_failure", "no", "", "must be true or false, got 'no'"),
        (
            "callable",
            "module.function",
            "",
            "must be written module:function, got 'module.function'",
        ),
        ("callable", "a b:c", "", "must be written module:function, got 'a b:c'"),
        ("script", "ok", "", "must be a list, got 'ok'"),
        (
            "script",
            ["ok", "transent"],
            "[1]",
            f"'transent' is not a known step, did you mean 'transient'? (known: {STEPS})",
        ),
        ("options", [1], "", "must be a table, got [1]"),
        ("options", {"a": [1, {"b": float("nan")}]}, ".a[1].b", PLAIN + "got nan"),
        ("options", {"a": 2**63}, ".a", PLAIN + "got 9223372036854775808"),
        ("command", "make", "", "must be a table, got 'make'"),
        ("command", {}, ".argv", "must name a program"),
        ("command", {"argv": ["a", 1]}, ".argv[1]", "must be a string, got 1"),
        ("command", {"argv": ["", "x"]}, ".argv", "must name a program"),
        ("command", {"argv": ["a", "b\0"]}, ".argv[1]", r"must have no NUL, got 'b\x00'"),
        ("command", {"argv": ["a"], "timeout_seconds": 0}, ".timeout_seconds", LIMIT + "0"),
        (
            "command",
            {"argv": ["a"], "environment": {"A=B": ""}},
            '.environment."A=B"',
            "must be a name of letters, digits and underscores",
        ),
        (
            "command",
            {"argv": ["a"], "environment": {"A": "\0"}},
            ".environment.A",
            r"must have no NUL, got '\x00'",
        ),
        (
            "command",
            {"argv": ["a"], "environment": {"MAESTRO_X": ""}},
            ".environment.MAESTRO_X",
            "must not begin with MAESTRO_, the runtime sets those variables",
        ),
    ],
)
def test_a_broken_value_is_named_where_it_is_written(
    case: tuple[str, Any, str, str], document: Document, load: Load
) -> None:
    """In `[defaults]` too: what is inherited is not reported again per persona."""
    key, value, at, text = case
    document["personas"]["qa_engineer"] = {key: value}
    assert problems_of(document, load) == [(f"{PERSONA}.{key}{at}", text)]

    document["personas"]["qa_engineer"] = {}
    document["defaults"] = {key: value}
    assert problems_of(document, load) == [(f"defaults.{key}{at}", text)]


def test_options_nested_too_deeply_are_refused(document: Document, load: Load) -> None:
    value: Any = 1
    for _ in range(40):
        value = [value]
    document["defaults"]["options"] = {"a": value}

    [(key, text)] = problems_of(document, load)

    assert key.startswith("defaults.options.a[0][0]")
    assert text == "must be nested at most 32 deep"


def test_a_date_is_no_free_parameter(
    document: Document, load: Load, team_path: Path, settings: Settings
) -> None:
    load(document)
    team_path.write_text(
        team_path.read_text().replace('"max_attempts" = 2', '"options" = { day = 2020-01-01 }')
    )

    with pytest.raises(TeamFileInvalid) as caught:
        load_team(team_path, settings=settings)

    assert caught.value.problems == (
        Problem("defaults.options.day", PLAIN + "got datetime.date(2020, 1, 1)"),
    )


@pytest.mark.parametrize(
    ("path", "key", "text"),
    [
        (
            [],
            "tem",
            (
                "'tem' is not a known key, did you mean 'team'? "
                "(known: breakers, budgets, contracts, defaults, personas, phases, team)"
            ),
        ),
        (
            ["team"],
            "sed",
            (
                "'sed' is not a known key, did you mean 'seed'? "
                "(known: lost_policy, max_parallel_workers, name, requirement, seed)"
            ),
        ),
        (
            ["phases", 0],
            "nme",
            "'nme' is not a known key, did you mean 'name'? (known: after, name)",
        ),
        (
            ["contracts", 0, "deliverables", 0],
            "zzz",
            "'zzz' is not a known key (known: artifacts, checks, name)",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    path: list[Any], key: str, text: str, document: Document, load: Load
) -> None:
    table: Any = document
    for step in path:
        table = table[step]
    table[key] = 1

    [(at, found)] = problems_of(document, load)

    assert at.endswith(key)
    assert found == text


@pytest.mark.parametrize("engine", ["command", "python"])
def test_an_engine_that_lacks_what_it_needs_is_refused(
    engine: str, document: Document, load: Load
) -> None:
    document["personas"]["qa_engineer"]["engine"] = engine

    needed = {"command": "command", "python": "callable"}[engine]
    assert problems_of(document, load) == [
        (f"{PERSONA}.{needed}", f"is required by engine '{engine}'")
    ]


def test_an_engine_of_a_third_party_is_not_judged(document: Document, load: Load) -> None:
    document["defaults"]["engine"] = "somebodys-own"

    assert load(document).team.personas["qa_engineer"].engine == "somebodys-own"


@pytest.mark.parametrize("name", ["-a", "a b", "a/b", "a\n", "é", "x" * 65])
def test_names_that_cannot_be_ids_are_refused_everywhere(
    name: str, document: Document, load: Load
) -> None:
    document["team"]["name"] = name
    document["personas"][name] = {}
    document["phases"].append({"name": name})
    document["contracts"][2]["id"] = name

    found = problems_of(document, load)

    assert {text for _, text in found} == {f"must match {NAME}, got {name!r}"}
    assert [key for key, _ in found if not key.startswith("personas")] == [
        "team.name",
        "phases[2].name",
        "contracts[2].id",
    ]
    assert len(found) == 4


def test_missing_names_and_references_are_all_listed(document: Document, load: Load) -> None:
    document["contracts"] = [{"deliverables": [{}]}]
    document["phases"].append({})
    del document["team"]["name"]

    assert problems_of(document, load) == [
        ("team.name", "is required"),
        ("phases[2].name", "is required"),
        ("contracts[0].id", "is required"),
        ("contracts[0].name", "is required"),
        ("contracts[0].phase", "is required"),
        ("contracts[0].provider_persona_id", "is required"),
        ("contracts[0].deliverables[0].name", "is required"),
        ("contracts[0].deliverables[0].artifacts", "must have at least one glob"),
    ]


@pytest.mark.parametrize("title", ["two\nlines", "\x1b[31m", "x" * 201])
def test_a_title_has_to_fit_on_a_line(title: str, document: Document, load: Load) -> None:
    document["contracts"][0]["name"] = title

    [(key, text)] = problems_of(document, load)

    assert key == "contracts[0].name"
    assert text.startswith("must be 1 to 200 printable characters on one line, got '")
    assert "\n" not in text
    assert "\x1b" not in text


def test_names_used_twice_are_refused(document: Document, load: Load) -> None:
    document["phases"].append({"name": "build"})
    document["contracts"][2]["id"] = "api"

    assert problems_of(document, load) == [
        ("phases[2].name", "'build' is already used by phases[0].name"),
        ("contracts[2].id", "'api' is already used by contracts[0].id"),
    ]


def test_references_that_lead_nowhere_come_with_the_nearest_name(
    document: Document, load: Load
) -> None:
    document["phases"][1]["after"] = ["biuld"]
    document["contracts"][0]["phase"] = "buil"
    document["contracts"][1]["after"] = ["apy"]
    document["contracts"][2]["provider_persona_id"] = "qa_enginer"

    assert problems_of(document, load) == [
        (
            "phases[1].after[0]",
            "'biuld' is not a known phase, did you mean 'build'? (known: build, check)",
        ),
        (
            "contracts[0].phase",
            "'buil' is not a known phase, did you mean 'build'? (known: build, check)",
        ),
        (
            "contracts[1].after[0]",
            "'apy' is not a known contract, did you mean 'api'? (known: api, notes, tests)",
        ),
        (
            "contracts[2].provider_persona_id",
            (
                "'qa_enginer' is not a known persona, did you mean 'qa_engineer'? "
                "(known: backend_developer, qa_engineer)"
            ),
        ),
    ]


def test_a_long_list_of_known_names_is_cut(document: Document, load: Load) -> None:
    document["personas"] |= {f"p{number:03}": {} for number in range(600)}
    document["contracts"][0]["provider_persona_id"] = "p"

    [(_, text)] = problems_of(document, load)

    assert text.startswith("'p' is not a known persona (known: backend_developer, p000, ")
    assert text.endswith("p018, and 582 more)")


def test_a_contract_waits_only_for_contracts_of_its_phase(document: Document, load: Load) -> None:
    document["contracts"][2]["after"] = ["api"]

    assert problems_of(document, load) == [
        (
            "contracts[2].after[0]",
            "must be a contract of phase 'check', got 'api' of phase 'build'",
        )
    ]


def test_cycles_are_shown_step_by_step(document: Document, load: Load) -> None:
    document["phases"] = [
        {"name": "build", "after": ["check"]},
        {"name": "check", "after": ["build"]},
        {"name": "alone", "after": ["alone"]},
    ]
    document["contracts"][0]["after"] = ["notes"]

    assert problems_of(document, load) == [
        ("phases[0].after", "must not form a cycle, got build -> check -> build"),
        ("phases[2].after", "must not form a cycle, got alone -> alone"),
        ("contracts[0].after", "must not form a cycle, got api -> notes -> api"),
    ]


@pytest.mark.parametrize("glob", ["/etc/passwd", "../x", "a/../../x", "a\\b", "a\0b", ""])
def test_globs_stay_in_the_workspace(glob: str, document: Document, load: Load) -> None:
    document["contracts"][0]["deliverables"][0]["artifacts"] = ["ok.md", glob]

    [(key, text)] = problems_of(document, load)

    assert key == "contracts[0].deliverables[0].artifacts[1]"
    assert text.startswith("glob must name files inside the workspace: ")
    assert text.endswith(f"got {glob!r}")


@pytest.mark.parametrize(
    ("phase", "after", "shared"),
    [
        ("build", [], True),
        ("build", ["api"], False),
        ("build", ["notes"], False),
        ("check", [], False),
        ("elsewhere", [], True),
    ],
)
def test_a_file_has_one_writer_at_a_time(
    phase: str, after: list[str], shared: bool, document: Document, load: Load
) -> None:
    """`notes` waits for `api`, so waiting for `notes` is waiting for `api`."""
    document["phases"].append({"name": "elsewhere"})
    document["contracts"][0]["deliverables"] = [{"name": "d", "artifacts": ["a/CHANGES.md"]}]
    document["contracts"].append(
        {
            "id": "other",
            "name": "Other",
            "phase": phase,
            "provider_persona_id": "qa_engineer",
            "after": after,
            "deliverables": [{"name": "d", "artifacts": ["x", "./a//CHANGES.md"]}],
        }
    )

    if not shared:
        assert load(document).team.contracts[3].id == "other"
        return
    [(key, text)] = problems_of(document, load)

    assert "artifacts[" in key
    assert text in {
        f"must be delivered by one contract at a time, but '{other}' delivers the same file and "
        "may run at the same time"
        for other in ("api", "other")
    }


def test_many_contracts_that_take_turns_with_one_file_are_checked_quickly(
    document: Document, load: Load
) -> None:
    """Two thousand in a row: comparing all pairs would not end within the time limit."""
    document["contracts"] = [
        {
            "id": f"c{number}",
            "name": "x",
            "phase": "build",
            "provider_persona_id": "qa_engineer",
            "after": [f"c{number - 1}"] if number else [],
            "deliverables": [{"name": "d", "artifacts": ["CHANGES.md"]}],
        }
        for number in range(2000)
    ]

    assert len(load(document).team.contracts) == 2000


def test_all_problems_come_at_once_one_per_line(
    document: Document, load: Load, team_path: Path
) -> None:
    document["team"]["sed"] = 1
    document["defaults"]["max_attempts"] = 0
    document["contracts"][2]["provider_persona_id"] = "nobody"

    with pytest.raises(TeamFileInvalid) as caught:
        load(document)

    assert str(caught.value).splitlines() == [
        f"{team_path}: {problem}" for problem in caught.value.problems
    ]
    assert [problem.key for problem in caught.value.problems] == [
        "team.sed",
        "defaults.max_attempts",
        "contracts[2].provider_persona_id",
    ]


def test_what_follows_from_a_broken_value_is_not_reported(document: Document, load: Load) -> None:
    """No "unknown phase" when the phases themselves cannot be read."""
    document["phases"] = "build, check"
    document["contracts"].append(5)

    assert problems_of(document, load) == [
        ("phases", "must be a list, got 'build, check'"),
        ("contracts[3]", "must be a table, got 5"),
    ]


def test_a_contract_of_an_unknown_phase_is_not_also_one_of_another_phase(
    document: Document, load: Load
) -> None:
    document["contracts"][1]["phase"] = "zzz"

    assert [key for key, _ in problems_of(document, load)] == ["contracts[1].phase"]


def test_the_error_survives_pickling(document: Document, load: Load) -> None:
    document["team"]["seed"] = -1
    with pytest.raises(TeamFileInvalid) as caught:
        load(document)

    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes

    assert str(copy) == str(caught.value)
    assert isinstance(copy.problems[0], Problem)


PATHS: list[list[Any]] = [
    *([key] for key in ("team", "defaults", "personas", "phases", "contracts")),
    *(["team", key] for key in ("name", "requirement", "seed", "max_parallel_workers")),
    *(["defaults", key] for key in ("engine", "max_attempts", "options", "command", "script")),
    ["personas", "qa_engineer"],
    ["phases", 0],
    ["phases", 1, "after"],
    ["contracts", 1],
    *(["contracts", 0, key] for key in ("id", "name", "phase", "after", "deliverables")),
    ["contracts", 0, "deliverables", 0],
    ["contracts", 0, "deliverables", 0, "artifacts"],
]
SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["api", "build", "src/a.py", "python", "command"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "after", "argv", "zz\n"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(changes=st.lists(st.tuples(st.sampled_from(PATHS), VALUES), min_size=1, max_size=3))
@hypothesis_settings(max_examples=150)
def test_whatever_a_file_holds_it_loads_or_is_refused_line_by_line(
    changes: list[tuple[list[Any], Any]], load: Load
) -> None:
    document: Any = {
        "team": {"name": "small", "requirement": "Build it"},
        "defaults": {},
        "personas": {"qa_engineer": {}},
        "phases": [{"name": "build"}, {"name": "check", "after": ["build"]}],
        "contracts": [
            {
                "id": name,
                "name": name,
                "phase": "build",
                "provider_persona_id": "qa_engineer",
                "deliverables": [{"name": "d", "artifacts": [f"{name}.md"]}],
            }
            for name in ("api", "notes")
        ],
    }
    for path, value in changes:
        table = document
        for step in path[:-1]:
            inside = table.get(step) if isinstance(table, dict) else None
            if isinstance(table, list) and isinstance(step, int) and step < len(table):
                inside = table[step]
            table = inside
        if isinstance(table, dict) or (
            isinstance(table, list) and isinstance(path[-1], int) and path[-1] < len(table)
        ):
            table[path[-1]] = value

    try:
        loaded = load(document)
    except TeamFileInvalid as error:
        assert len(str(error).splitlines()) == len(error.problems) > 0  # noqa: PT017 - either way is right
    else:
        assert loaded.team.contracts
