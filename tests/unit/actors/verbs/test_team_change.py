"""A changed team: what is said of it, what is refused, and what one transition makes of it."""

from collections.abc import Iterable

import msgspec
import pytest

from maestro_actors.errors import TeamChangeRefused
from maestro_actors.messages import encode
from maestro_actors.sessions.session import NewSession, opening_transition
from maestro_actors.team import Contract, Persona, Phase, Team
from maestro_actors.verbs.team_change import Progress, change_transition, differences
from maestro_storage.plan import Plan, Stretch
from maestro_storage.records import SessionRecord, TaskRecord, TaskState, key_of
from maestro_storage.transition import Transition, payload_digest


def contract(name: str, phase: str, *after: str, by: str = "dev") -> Contract:
    return Contract(id=name, name=name, phase=phase, provider_persona_id=by, after=after)


TEAM = Team(
    name="t",
    requirement="r",
    personas={"dev": Persona(persona_id="dev"), "qa": Persona(persona_id="qa", engine="python")},
    phases=(Phase(name="plan"), Phase(name="build", after=("plan",)), Phase(name="ship")),
    contracts=(
        contract("a", "plan"),
        contract("b", "build"),
        contract("c", "build", "b"),
        contract("d", "ship"),
    ),
)
"""`a` is done and its phase over, `b` has begun, `c` and `d` have not."""

STATES: dict[str, TaskState] = {"a": "done", "b": "waiting", "c": "queued", "d": "queued"}
ORDINALS = {"a": 1, "b": 2}


def tasks(**states: TaskState) -> list[TaskRecord]:
    """Return the tasks of the team; the arguments are states of some of them."""
    return [
        TaskRecord(
            session_id="s",
            task_id=item.id,
            phase=item.phase,
            persona_id=item.provider_persona_id,
            engine="rehearsal",
            state=(STATES | states)[item.id],
            waits_for="nothing",
            ordinal=ORDINALS.get(item.id, 0),
        )
        for item in TEAM.contracts
    ]


SESSION = SessionRecord(
    session_id="s",
    state="running",
    team_name="t",
    team=payload_digest(encode(TEAM)),
    output_dir="/o",
    input_dir=None,
    created_ms=1,
    updated_ms=1,
)


def with_contracts(*contracts: Contract, phases: tuple[Phase, ...] = TEAM.phases) -> Team:
    return msgspec.structs.replace(TEAM, contracts=contracts, phases=phases)


def changed(
    after: Team,
    *,
    tried: Iterable[str] = ("a", "b"),
    recorded: Iterable[str] = ("init", "plan"),
    plan: Plan = (),
    **states: TaskState,
) -> tuple[SessionRecord, Transition]:
    return change_transition(
        SESSION,
        TEAM,
        after,
        Progress({task.task_id: task for task in tasks(**states)}, set(tried), set(recorded), plan),
        now_ms=9,
        epoch=3,
    )


def test_differences_name_what_came_what_went_and_each_field_that_changed() -> None:
    a, b, c, _ = TEAM.contracts
    after = msgspec.structs.replace(
        TEAM,
        requirement="r2",
        phases=(*TEAM.phases, Phase(name="more")),
        contracts=(a, b, msgspec.structs.replace(c, name="C", after=())),
        personas={"dev": Persona(persona_id="dev", token_budget=5)},
    )

    assert list(map(str, differences(TEAM, after))) == [
        'team \'t\': requirement changed from "r" to "r2"',
        "phase 'more' added",
        'contract \'c\': name changed from "c" to "C"',
        "contract 'c': after changed from [\"b\"] to []",
        "contract 'd' removed",
        "persona 'dev': token_budget changed from 100000 to 5",
        "persona 'qa' removed",
    ]
    assert differences(TEAM, TEAM) == ()


def test_the_order_of_contracts_is_no_difference_in_what_they_are() -> None:
    assert differences(TEAM, with_contracts(*reversed(TEAM.contracts))) == ()


def test_a_long_value_is_cut_in_the_words_and_whole_in_the_difference() -> None:
    after = msgspec.structs.replace(TEAM, requirement="x" * 1000)

    [found] = differences(TEAM, after)

    assert len(str(found)) < 200
    assert found.after == f'"{"x" * 1000}"'


def test_unfinished_tasks_follow_the_team_and_all_others_stay_as_they_are() -> None:
    a, b, c, _ = TEAM.contracts
    after = with_contracts(
        msgspec.structs.replace(a, name="done already"),
        b,
        msgspec.structs.replace(c, provider_persona_id="qa"),
        contract("e", "ship"),
    )

    session, draft = changed(after)

    rows = {change.key: change for change in draft.changes}
    assert rows.keys() == {key_of("s", "c"), key_of("s", "d"), key_of("s", "e")}
    assert rows[key_of("s", "d")].body is None
    follows = msgspec.msgpack.decode(rows[key_of("s", "c")].body or b"", type=TaskRecord)
    assert (follows.persona_id, follows.engine, follows.state) == ("qa", "python", "queued")
    fresh = msgspec.msgpack.decode(rows[key_of("s", "e")].body or b"", type=TaskRecord)
    assert (fresh.state, fresh.waits_for, fresh.ordinal) == ("queued", "slot", 0)
    assert (session.team, session.updated_ms) == (payload_digest(encode(after)), 9)
    assert [release.digest for release in draft.releases] == [SESSION.team]
    [event] = draft.events
    assert event.kind == "team_changed"
    assert event.data["differences"] == 4
    assert "contract 'd' removed" in str(event.data["summary"])


def test_a_new_task_is_what_it_would_have_been_at_the_start() -> None:
    after = with_contracts(*TEAM.contracts, contract("e", "build", "c"))
    opening = opening_transition(NewSession(session_id="s", team=after, output_dir="/o"), 1, 3)
    at_start = {change.key: change.body for change in opening.changes}

    _, draft = changed(after)

    assert [(change.key, change.body) for change in draft.changes] == [
        (key_of("s", "e"), at_start[key_of("s", "e")])
    ]


A, B, C, D = TEAM.contracts
PLAN, BUILD, SHIP = TEAM.phases


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (with_contracts(B, C, D), "contract 'a' is done and must stay"),
        (
            with_contracts(contract("a", "ship"), B, C, D),
            "contract 'a' has begun and must stay in phase 'plan'",
        ),
        (
            with_contracts(A, contract("b", "ship"), C, D),
            "contract 'b' has begun and must stay in phase 'build'",
        ),
        (
            with_contracts(A, contract("b", "build", "c"), contract("c", "build"), D),
            "contract 'b' has begun and can wait only for what is over",
        ),
        (
            with_contracts(A, B, C, D, phases=(PLAN, Phase(name="build", after=("ship",)), SHIP)),
            "contract 'b' has begun and can wait only for what is over",
        ),
        (
            with_contracts(A, B, C, D, phases=(Phase(name="plan", after=("ship",)), BUILD, SHIP)),
            "phase 'plan' is over: it must stay, and can wait only for what is over",
        ),
        (
            with_contracts(*TEAM.contracts, contract("e", "plan")),
            "contract 'e' cannot join phase 'plan', which is over",
        ),
    ],
)
def test_what_would_touch_what_has_begun_or_ended_is_refused(after: Team, reason: str) -> None:
    with pytest.raises(TeamChangeRefused) as refused:
        changed(after)

    assert refused.value.reason == reason


def test_a_contract_cannot_have_the_id_of_one_that_was_tried_and_removed() -> None:
    """Its calls would have the same ids."""
    after = with_contracts(*TEAM.contracts, contract("gone", "ship"))

    with pytest.raises(TeamChangeRefused, match="contract 'gone' must have another id"):
        changed(after, tried=("a", "b", "gone"))


def test_a_call_in_flight_keeps_its_contract_and_its_engine() -> None:
    with pytest.raises(TeamChangeRefused, match="contract 'b' is running and must stay"):
        changed(with_contracts(A, contract("c", "build"), D), b="running")
    with pytest.raises(TeamChangeRefused, match="'b' has a call in flight and must keep its"):
        changed(with_contracts(A, contract("b", "build", by="qa"), C, D), b="running")

    session, _ = changed(with_contracts(A, B, contract("c", "build", "b", by="qa"), D), b="running")

    assert session.team != SESSION.team


def test_a_contract_that_has_begun_may_go_if_no_call_is_in_flight() -> None:
    _, draft = changed(with_contracts(A, contract("c", "build"), D))

    assert [(change.key, change.body) for change in draft.changes] == [(key_of("s", "b"), None)]


def test_a_phase_that_is_over_cannot_go() -> None:
    after = with_contracts(A, B, C, D, phases=(Phase(name="build"), SHIP, Phase(name="plan2")))

    with pytest.raises(TeamChangeRefused, match="phase 'plan' is over"):
        changed(after)


@pytest.mark.parametrize(
    ("phases", "reason"),
    [
        (TEAM.phases[:2], "phase 'ship' of a plan must be one of 'plan', 'build', and the session"),
        (
            (*TEAM.phases[:2], Phase(name="look"), Phase(name="ship", after=("look",))),
            "phase 'ship' must come after 'look', neither done nor planned by then, and the",
        ),
    ],
)
def test_a_change_with_which_the_plan_could_not_be_kept_is_refused(
    phases: tuple[Phase, ...], reason: str
) -> None:
    d = contract("d", phases[-1].name)
    after = with_contracts(A, B, C, d, phases=phases)

    with pytest.raises(TeamChangeRefused, match=reason):
        changed(after, plan=(Stretch(("build",)), Stretch(("ship",))))
    changed(after, plan=(Stretch(("build",)),))
