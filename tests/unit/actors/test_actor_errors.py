import pickle

import pytest

from maestro_actors.engine import Usage
from maestro_actors.errors import (
    ActorError,
    AnswerInvalid,
    HelpNotAwaited,
    InternalError,
    MessageTooLarge,
    TeamChangeRefused,
    TokenBudgetExceeded,
    UsageInvalid,
    VerbRefused,
)
from maestro_actors.ledger.errors import BudgetInvalid, LedgerConflict, PriceTableInvalid
from maestro_actors.messages import MESSAGE_BYTES_MAX, CloseCall
from maestro_actors.proxy import encoded
from maestro_storage.transition import Transition

ERRORS = [
    (
        TeamChangeRefused("s-1", "it is done"),
        "team of session 's-1' cannot be changed: it is done",
    ),
    (
        MessageTooLarge("OpenCall", 9, 8),
        "message OpenCall must have at most 8 bytes, got 9",
    ),
    (
        TokenBudgetExceeded("dev", 9, 6, 1, 4),
        (
            "token budget of persona 'dev' cannot pay for another call: "
            "limit 9, spent 6, reserved 1, needed 4"
        ),
    ),
    (
        TokenBudgetExceeded("dev", 9_000_000_000, 600, 1, None, "usd", 1_700_000_000_000, "money"),
        (
            "budget 'usd' cannot pay for another call of persona 'dev': limit 9.00 USD, "
            "spent 0.0000006 USD, reserved 0.000000001 USD, needed an unknown price; "
            "it begins anew at 2023-11-14T22:13:20+00:00"
        ),
    ),
    (
        UsageInvalid("requests", "must be an integer of at least 0", -1),
        "requests must be an integer of at least 0, got -1",
    ),
    (
        BudgetInvalid("daily", "limit", "must be at least 1", 0),
        "limit of budget 'daily' must be at least 1, got 0",
    ),
    (LedgerConflict("call 00", "is not open"), "call 00 is not open"),
    (
        PriceTableInvalid("models.m", "must be a table", 1),
        "price table: models.m must be a table, got 1",
    ),
    (
        AnswerInvalid("note", "at most 4000 characters", "4001"),
        "the note of an answer must be at most 4000 characters, got 4001",
    ),
    (
        VerbRefused("pause", "s-1", "done", "it must not have ended"),
        "cannot pause session 's-1': it must not have ended, it is 'done'",
    ),
    (
        VerbRefused("retry", "s-1", "done", "it must have failed", "note"),
        "cannot retry task 'note' of session 's-1': it must have failed, it is 'done'",
    ),
    (
        HelpNotAwaited("s-1", "note", "done"),
        "task 'note' of session 's-1' must wait for a person to be answered, it is 'done'",
    ),
    (
        InternalError("call 00 is settled, only an open one is closed"),
        "internal error: call 00 is settled, only an open one is closed",
    ),
]


@pytest.mark.parametrize(("error", "text"), ERRORS)
def test_an_error_says_what_was_wrong_and_survives_pickling(error: ActorError, text: str) -> None:
    assert str(error) == text
    assert str(pickle.loads(pickle.dumps(error))) == text  # noqa: S301 - our own bytes


def test_a_message_above_the_limit_is_refused_before_it_is_sent() -> None:
    draft = Transition()
    draft.payload("s", b"x" * MESSAGE_BYTES_MAX)
    message = CloseCall(
        session_id="s",
        persona_id="dev",
        answered=True,
        call_id=b"",
        state="settled",
        usage=Usage(),
        at_ms=0,
        draft=draft,
    )

    with pytest.raises(MessageTooLarge, match="message CloseCall must have at most 4194304"):
        encoded(message)
