"""When a failed attempt is tried again: a pure function of policy, place and seed.

Level 1 pauses between the attempts of a round, exponentially; level 2 pauses between rounds, by
list. Both add up to a quarter of jitter, drawn from the seed, so the same session pauses alike.
A stuck attempt ends its round; one that is stuck from the start of a round ends the task.
"""

from typing import Final

import msgspec

from maestro_actors.engine import FailureClass
from maestro_actors.identity import fraction_of
from maestro_actors.team import RetryPolicy

PERMANENT: Final[frozenset[FailureClass]] = frozenset(
    {"limit", "refused", "permanent", "unanswered"}
)
"""Failures that another attempt cannot mend: never retried, at either level."""

JITTER: Final = 0.25
"""Largest share that jitter adds to a delay."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where in its rounds a task stands. Both counts are 1-based."""

    round: int
    attempt: int


class Retry(msgspec.Struct, frozen=True, gc=False):
    """Try again, in `round`, after a pause."""

    round: int
    delay_seconds: float


class Stop(msgspec.Struct, frozen=True, gc=False):
    """Do not try again."""

    reason: str
    """Why, in a few words, for the report."""


def decide(
    policy: RetryPolicy,
    place: Place,
    failure: FailureClass,
    *,
    seed: int,
    retry_after_seconds: float | None = None,
) -> Retry | Stop:
    """Return what follows the failed attempt at `place`.

    Args:
        policy: Limits and delays of the persona.
        place: Round and attempt that failed, crashes included.
        failure: Why it failed.
        seed: Draws the jitter; give each task its own.
        retry_after_seconds: A pause the engine asked for; the delay is never shorter.
    """
    if failure in PERMANENT:
        return Stop(f"{failure}: not worth another attempt")
    if failure == "stuck" and place.attempt == 1:
        return Stop("stuck: a new round has changed nothing")
    if place.attempt < policy.max_attempts and failure != "stuck":
        next_round = place.round
        # An interrupted attempt says nothing against the engine: go on at once.
        delay = 0.0 if failure == "interrupted" else _attempt_delay(policy, place, seed)
    elif place.round < policy.max_rounds:
        next_round = place.round + 1
        delay = _round_delay(policy, place, seed)
    else:
        if failure == "stuck":
            return Stop("stuck: in the last round")
        return Stop(f"{policy.max_rounds} rounds of {policy.max_attempts} attempts are used up")
    if retry_after_seconds is not None:
        delay = max(delay, retry_after_seconds)
    return Retry(next_round, delay)


def _attempt_delay(policy: RetryPolicy, place: Place, seed: int) -> float:
    # The exponent is capped so that a large attempt number cannot overflow a float.
    delay = policy.backoff_seconds * 2.0 ** min(place.attempt - 1, 64)
    return min(delay * _jitter(place, seed), policy.backoff_max_seconds)


def _round_delay(policy: RetryPolicy, place: Place, seed: int) -> float:
    if not policy.round_backoff_seconds:
        return 0.0
    last = len(policy.round_backoff_seconds) - 1
    return policy.round_backoff_seconds[min(place.round - 1, last)] * _jitter(place, seed)


def _jitter(place: Place, seed: int) -> float:
    return 1.0 + JITTER * fraction_of(f"{seed}\0{place.round}\0{place.attempt}")
