"""Sessions under way whose calls a budget that counts money refuses, because they have no price."""

from collections.abc import Iterator

from maestro_actors.ledger.prices import PriceBook
from maestro_runtime.daemon._taking_up import under_way
from maestro_runtime.policy import RuntimePolicy
from maestro_runtime.recorded import recorded_team
from maestro_storage import Records


def unpriced(
    records: Records, policy: RuntimePolicy, prices: PriceBook, now_ms: int
) -> Iterator[tuple[str, str]]:
    """Yield the id of each such session, and why its calls are refused, in words."""
    strict = [
        item.id for item in policy.budgets if item.metric == "money" and item.action != "warn"
    ]
    if not strict:
        return
    for record in under_way(records):
        team = recorded_team(records, record)
        personas = (team.personas[item.provider_persona_id] for item in team.contracts)
        models = {persona.model or persona.engine for persona in personas}
        missing = sorted(model for model in models if prices.card(model, now_ms) is None)
        if missing:
            why = f"budget {strict[0]!r} counts money, and no price is known of"
            yield record.session_id, f"{why} {', '.join(missing)}: such calls are refused"
