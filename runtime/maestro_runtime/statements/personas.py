"""What each persona has spent of its token budget."""

import msgspec

from maestro_storage import Records


class PersonaTokens(msgspec.Struct, frozen=True, kw_only=True):
    """What one persona has spent in one session."""

    session_id: str
    persona_id: str
    limit_tokens: int
    spent_tokens: int
    left_tokens: int
    """Never below 0, though an engine may have overdrawn its reservation."""
    held_tokens: int
    """Reserved by open calls."""
    calls: int
    lost_tokens: int
    """Booked for calls whose end nobody knows: a part of `spent_tokens`."""


def persona_tokens(store: Records, session_id: str | None) -> list[PersonaTokens]:
    """Read the budgets of one session, or of all, by session and persona.

    Raises:
        NotFound: There is no such session.
        SessionQuarantined: One of its records is damaged.
    """
    prefix = () if session_id is None else (store.require_session(session_id).session_id,)
    calls: dict[tuple[str, str], int] = {}
    lost: dict[tuple[str, str], int] = {}
    for call in store.calls.scan(*prefix):
        place = (call.session_id, call.persona_id)
        calls[place] = calls.get(place, 0) + 1
        if call.state == "lost":
            lost[place] = lost.get(place, 0) + call.input_tokens + call.output_tokens
    return [
        PersonaTokens(
            session_id=budget.session_id,
            persona_id=budget.persona_id,
            limit_tokens=budget.limit_tokens,
            spent_tokens=budget.spent_tokens,
            left_tokens=max(0, budget.limit_tokens - budget.spent_tokens - budget.held_tokens),
            held_tokens=budget.held_tokens,
            calls=calls.get((budget.session_id, budget.persona_id), 0),
            lost_tokens=lost.get((budget.session_id, budget.persona_id), 0),
        )
        for budget in store.budgets.scan(*prefix)
    ]
