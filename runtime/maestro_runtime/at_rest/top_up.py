"""Topping up a budget in a state directory that no runtime is open on.

While a runtime is open, only its token accountant writes counters: see `Runtime.top_up`.
"""

from maestro_actors.accounting.adjustment import topped_up
from maestro_actors.ledger.ledger import Ledger
from maestro_actors.ledger.rows import loader, row_of
from maestro_actors.messages import ToppedUp
from maestro_runtime.ports.memory import StoreMemory
from maestro_runtime.top_up import TopUpOrder, books_order, planned
from maestro_storage import Store


def top_up(store: Store, order: TopUpOrder, now_ms: int) -> ToppedUp:
    """Raise a limit in its running window; durable on return, with all that follows from it.

    In the same transition every task that has run out of a budget, waits for a person, and is
    counted by this one, is queued for another round; its session goes on when it is resumed. Calls
    that wait for the next window ask again then without being told.

    Raises:
        BudgetInvalid, NotFound, BudgetAmbiguous: As `planned`.
        StorageError: The entry could not be written.
    """
    plan = planned(store, order, now_ms)
    memory = StoreMemory(store)
    ledger = Ledger(loader(memory.counter), memory.counted_until_ms())
    change, done = topped_up(ledger, books_order(plan, now_ms))
    for counter in change.counters:
        plan.draft.put(row_of(counter, now_ms, store.epoch))
    # Nobody lives here to be told.
    plan.draft.deliveries = ()
    store.journal.commit(plan.draft).result()
    return done
