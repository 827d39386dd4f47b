from hypothesis import given
from hypothesis import strategies as st

from maestro_actors.ledger.budget import Budget
from maestro_actors.ledger.counter import Counter
from maestro_actors.ledger.rows import counter_of, persona_budget, row_of
from maestro_storage.bookings import CounterKey, Fired

FIRED = st.sets(st.builds(Fired, st.integers(1, 3), st.integers(1, 100), st.integers(1, 1000)))
FIGURES = st.integers(0, 1 << 53)


def counter(key: CounterKey, budget: Budget, figures: tuple[int, int, int]) -> Counter:
    spent, held, topped_up = figures
    made = Counter(key, spent=spent, held=held, topped_up=topped_up)
    made.apply(budget)
    return made


@given(st.tuples(FIGURES, FIGURES, FIGURES), FIRED, st.dictionaries(FIGURES, FIGURES))
def test_a_counter_comes_back_from_its_row(
    figures: tuple[int, int, int], fired: set[Fired], steps: dict[int, int]
) -> None:
    key = CounterKey("", "b", "rolling:60/total", "dev", 0)
    budget = Budget(id="b", window="rolling:60", limit=5, version=3, alert_permille=(1, 2))
    made = counter(key, budget, figures)
    made.fired, made.steps = fired, steps

    assert counter_of(key, row_of(made, at_ms=1, epoch=1)) == made


@given(st.tuples(FIGURES, FIGURES, FIGURES), FIRED)
def test_the_counter_of_a_persona_comes_back_from_its_row(
    figures: tuple[int, int, int], fired: set[Fired]
) -> None:
    key = CounterKey("s-1", "persona/dev", "session/total", "dev", 0)
    made = counter(key, persona_budget("dev", 7), figures)
    made.fired = fired

    assert counter_of(key, row_of(made, at_ms=1, epoch=1)) == made
