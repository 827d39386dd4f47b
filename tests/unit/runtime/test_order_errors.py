"""What is said of orders that cannot be taken."""

import pickle

import pytest

from maestro_runtime import errors


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            errors.AdmissionRefused("the queue of sessions is full", 3, 2.5),
            (
                "no session is taken now: the queue of sessions is full, the limit is 3; "
                "try again after 2.5 s"
            ),
        ),
        (errors.PriorityInvalid(101, 100), "a priority must be from -100 to 100, got 101"),
        (errors.LabelInvalid("must be KEY=VALUE", "x"), "labels must be KEY=VALUE, got 'x'"),
        (
            errors.CursorInvalid("x"),
            "a cursor must be one that a list of sessions has ended with, got 'x'",
        ),
        (
            errors.TeamChanged("s1", ("contract 'a' added", "contract 'b' removed")),
            (
                "session 's1' was started with another team, and what differs must be accepted:\n"
                "  contract 'a' added\n  contract 'b' removed"
            ),
        ),
        (
            errors.TeamChanged("s1", ("contract 'a' added",), "done"),
            (
                "session 's1' was started with another team, and is done, so its team cannot be "
                "changed:\n  contract 'a' added"
            ),
        ),
        (
            errors.SessionBusy("s1", "its team changes"),
            "session 's1' must be paused before its team changes, it is running",
        ),
        (
            errors.IdempotencyConflict("k", "s1", "the name 's2'"),
            "idempotency key 'k' belongs to session 's1', and the input is another: the name 's2'",
        ),
        (
            errors.IdempotencyKeyInvalid("", "must have 1 to 128 characters"),
            "an idempotency key must have 1 to 128 characters, got ''",
        ),
        (
            errors.RequestIdInvalid("00", "must have 16 bytes"),
            "request id '00' must have 16 bytes",
        ),
        (
            errors.RuntimeDraining("s1"),
            (
                "the runtime is stopping and takes no more work: session 's1' "
                "can start or go on after its next start"
            ),
        ),
        (
            errors.SafeMode("s1"),
            (
                "the daemon is in safe mode after several crashes: session 's1' "
                "can start or go on once that is left"
            ),
        ),
        (
            errors.SessionLeftAlone("s1", "engine 'e' is not there"),
            "session 's1' does not go on until it is resumed: engine 'e' is not there",
        ),
        (
            errors.SessionConflict("s1", "the labels", "a=1", "a=2"),
            "session 's1' was started with the labels 'a=1', got 'a=2'",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_says_what_is_wrong_and_can_be_pickled(error: Exception, text: str) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert (type(again), str(again)) == (type(error), text)
