import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_actors.engine import Artifact, Outcome
from maestro_actors.tasks.contracts import Verdict, judge
from maestro_actors.team import Contract, Deliverable

SEEN = (Artifact(path="src/a.py", size_bytes=1, sha256="00", changed=True),)


def contract(*deliverables: tuple[str, ...]) -> Contract:
    return Contract(
        id="c",
        name="c",
        phase="p",
        provider_persona_id="dev",
        deliverables=tuple(
            Deliverable(name=str(place), artifacts=globs)
            for place, globs in enumerate(deliverables)
        ),
    )


def test_all_globs_matched_and_no_failure_is_fulfilled_with_full_quality() -> None:
    verdict = judge(contract(("src/*.py",), ("*.md",)), Outcome(artifacts=SEEN))

    assert verdict == Verdict(quality_score=1.0, contract_fulfilled=True)


def test_quality_is_the_mean_over_the_deliverables() -> None:
    wanted = contract(("a", "b"), ("c",))

    verdict = judge(wanted, Outcome(artifacts=SEEN, missing=("b",)))

    assert verdict == Verdict(
        quality_score=0.75, contract_fulfilled=False, failure="missing_deliverable"
    )


@pytest.mark.parametrize("missing", [(), ("a",)])
def test_a_failed_engine_never_fulfils_a_contract(missing: tuple[str, ...]) -> None:
    outcome = Outcome(failure="transient", artifacts=SEEN, missing=missing)

    assert not judge(contract(("a",)), outcome).contract_fulfilled


def test_a_claim_without_a_file_is_worth_nothing() -> None:
    verdict = judge(contract(("a",)), Outcome(message="I wrote everything"))

    assert verdict == Verdict(
        quality_score=0.0, contract_fulfilled=False, failure="missing_deliverable"
    )


def test_a_contract_without_deliverables_asks_only_for_an_end() -> None:
    assert judge(contract(), Outcome()).contract_fulfilled
    assert not judge(contract(), Outcome(failure="permanent")).contract_fulfilled


names = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.sets(names, min_size=1), max_size=4), st.sets(names))
def test_quality_stays_between_0_and_1_and_is_1_only_if_nothing_is_missing(
    owed: list[set[str]], missing: set[str]
) -> None:
    wanted = contract(*(tuple(sorted(globs)) for globs in owed))

    verdict = judge(wanted, Outcome(artifacts=SEEN, missing=tuple(sorted(missing))))

    assert 0.0 <= verdict.quality_score <= 1.0
    relevant = missing & {glob for globs in owed for glob in globs}
    if owed:
        assert (verdict.quality_score == 1.0) == (not relevant)
