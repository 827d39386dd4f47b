"""Secrets of sessions are known while they run and a while after, and then no longer."""

import pytest

from maestro_runtime.redaction import Redactor
from maestro_runtime.running import lent_secrets
from maestro_runtime.running.lent_secrets import LATE_SECONDS, LentSecrets


class Clock:
    """A monotonic clock that stands still."""

    now_seconds = 0.0

    def __call__(self) -> float:
        return self.now_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_was_taken_back_is_known_for_a_while_and_forgotten_with_the_next(clock: Clock) -> None:
    redactor = Redactor()
    secrets = LentSecrets(redactor, clock)
    for secret in ("first-secret", "other-secret", "third-secret"):
        secrets.lend([secret])

    secrets.take_back(["first-secret"])
    clock.now_seconds = LATE_SECONDS - 1
    secrets.take_back(["other-secret"])
    late = redactor.clean("first-secret other-secret third-secret")
    clock.now_seconds = LATE_SECONDS
    secrets.take_back(["third-secret"])

    assert late == "*** *** ***"
    assert redactor.clean("first-secret other-secret third-secret") == "first-secret *** ***"


def test_a_secret_that_another_session_has_stays_known(clock: Clock) -> None:
    redactor = Redactor()
    secrets = LentSecrets(redactor, clock)
    secrets.lend(["shared-secret"])
    secrets.lend(["shared-secret"])

    secrets.take_back(["shared-secret"])
    clock.now_seconds = LATE_SECONDS
    secrets.lend(["last-secret"])
    secrets.take_back(["last-secret"])

    assert redactor.clean("shared-secret") == "***"


def test_of_many_sessions_at_once_those_that_ended_first_are_forgotten_earlier(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lent_secrets, "LATE_MAX", 2)
    redactor = Redactor()
    secrets = LentSecrets(redactor, clock)

    for secret in ("first-secret", "other-secret", "third-secret"):
        secrets.lend([secret])
        secrets.take_back([secret])

    assert redactor.clean("first-secret other-secret third-secret") == "first-secret *** ***"
