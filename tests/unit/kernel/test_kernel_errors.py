import pickle

import pytest

from maestro_actors.kernel import (
    AddressTaken,
    BlockingOnLoop,
    DeadlockError,
    HandlerCancelled,
    KernelError,
    LaneClosed,
    LaneSaturated,
    MailboxFull,
    NeedsAsyncLane,
)

TEXTS = [
    (MailboxFull("urn:a", 10), "mailbox of urn:a is full: at most 10 messages may wait"),
    (
        DeadlockError(("urn:a", "urn:b", "urn:a")),
        "actors would wait for each other: urn:a -> urn:b -> urn:a",
    ),
    (LaneSaturated("hot", 256), "lane 'hot' is saturated: 256 handlers are blocked already"),
    (LaneClosed("hot"), "lane 'hot' is closed"),
    (BlockingOnLoop("io"), "the loop of lane 'io' must not block: await the future"),
    (
        NeedsAsyncLane("urn:a", "hot"),
        "urn:a has an async handler, which thread lane 'hot' cannot run",
    ),
    (HandlerCancelled("urn:a"), "a handler of urn:a was cancelled"),
    (AddressTaken("urn:a"), "address urn:a is taken by a live actor"),
]


@pytest.mark.parametrize(("error", "text"), TEXTS, ids=lambda value: type(value).__name__)
def test_kernel_error_says_what_is_wrong(error: KernelError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize("error", [error for error, _ in TEXTS], ids=lambda e: type(e).__name__)
def test_kernel_error_survives_pickling(error: KernelError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert (type(copy), copy.args, str(copy)) == (type(error), error.args, str(error))


def test_every_kernel_error_has_its_text_tested() -> None:
    assert set(KernelError.__subclasses__()) == {type(error) for error, _ in TEXTS}
