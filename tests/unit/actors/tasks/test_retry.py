import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_actors.engine import FAILURE_CLASSES, FailureClass
from maestro_actors.tasks.retry import JITTER, PERMANENT, Place, Retry, Stop, decide
from maestro_actors.team import RetryPolicy

policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 6),
    backoff_seconds=st.floats(0, 10),
    backoff_max_seconds=st.floats(0, 100),
    max_rounds=st.integers(1, 4),
    round_backoff_seconds=st.lists(st.floats(0, 60), max_size=4).map(tuple),
)
retried = sorted(set(FAILURE_CLASSES) - PERMANENT - {"stuck"})


@given(policies, st.sampled_from(retried), st.integers(0, 2**53))
def test_a_task_ends_after_exactly_rounds_times_attempts(
    policy: RetryPolicy, failure: FailureClass, seed: int
) -> None:
    place, attempts = Place(1, 1), 1
    while isinstance(decision := decide(policy, place, failure, seed=seed), Retry):
        same_round = decision.round == place.round
        place = Place(decision.round, place.attempt + 1 if same_round else 1)
        attempts += 1

    assert attempts == policy.max_rounds * policy.max_attempts
    assert str(policy.max_rounds) in decision.reason


@given(policies, st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**53))
def test_a_level_1_delay_grows_up_to_its_bound_and_jitter_never_shortens_it(
    policy: RetryPolicy, attempt: int, round_: int, seed: int
) -> None:
    decision = decide(policy, Place(round_, attempt), "transient", seed=seed)

    if isinstance(decision, Retry) and decision.round == round_:
        plain = policy.backoff_seconds * 2 ** (attempt - 1)
        low = min(plain, policy.backoff_max_seconds)
        high = min(plain * (1 + JITTER), policy.backoff_max_seconds)
        assert low <= decision.delay_seconds <= high


@pytest.mark.parametrize(("round_", "low", "high"), [(1, 5, 6.25), (2, 10, 12.5), (5, 20, 25)])
def test_a_level_2_delay_follows_its_list_and_repeats_the_last(
    round_: int, low: float, high: float
) -> None:
    policy = RetryPolicy(max_rounds=9)

    decision = decide(policy, Place(round_, 3), "failed_check", seed=1)

    assert isinstance(decision, Retry)
    assert decision.round == round_ + 1
    assert low <= decision.delay_seconds <= high


@given(policies, st.sampled_from(sorted(PERMANENT)))
def test_a_permanent_failure_stops_at_the_first_attempt(
    policy: RetryPolicy, failure: FailureClass
) -> None:
    decision = decide(policy, Place(1, 1), failure, seed=0)

    assert decision == Stop(f"{failure}: not worth another attempt")


@given(policies, st.floats(0, 1000), st.integers(0, 2**53))
def test_a_delay_is_never_shorter_than_the_engine_asked_for(
    policy: RetryPolicy, asked: float, seed: int
) -> None:
    decision = decide(policy, Place(1, 1), "rate_limited", seed=seed, retry_after_seconds=asked)

    if isinstance(decision, Retry):
        assert decision.delay_seconds >= asked


@given(policies, st.sampled_from(FAILURE_CLASSES), st.integers(0, 2**53))
def test_the_same_seed_decides_the_same(
    policy: RetryPolicy, failure: FailureClass, seed: int
) -> None:
    first = decide(policy, Place(1, 1), failure, seed=seed)

    assert decide(policy, Place(1, 1), failure, seed=seed) == first


@given(policies, st.integers(2, 9), st.integers(0, 2**53))
def test_a_stuck_attempt_ends_its_round_and_the_last_round_ends_the_task(
    policy: RetryPolicy, attempt: int, seed: int
) -> None:
    for round_ in range(1, policy.max_rounds):
        decision = decide(policy, Place(round_, attempt), "stuck", seed=seed)
        assert isinstance(decision, Retry)
        assert decision.round == round_ + 1

    last = decide(policy, Place(policy.max_rounds, attempt), "stuck", seed=seed)
    assert last == Stop("stuck: in the last round")


@given(policies, st.integers(1, 4), st.integers(0, 2**53))
def test_a_round_that_begins_stuck_is_the_last_one(
    policy: RetryPolicy, round_: int, seed: int
) -> None:
    decision = decide(policy, Place(round_, 1), "stuck", seed=seed)

    assert decision == Stop("stuck: a new round has changed nothing")


def test_an_interrupted_attempt_is_followed_at_once() -> None:
    assert decide(RetryPolicy(), Place(1, 1), "interrupted", seed=3) == Retry(1, 0.0)
