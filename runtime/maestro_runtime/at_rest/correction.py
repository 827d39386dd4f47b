"""Correcting a closed call in a state directory that no runtime is open on.

While a runtime is open, only its token accountant writes counters: see `Runtime.correct`.
"""

from collections.abc import Iterable

from maestro_actors.accounting import adjustment
from maestro_actors.help.alert import write_alert
from maestro_actors.ledger.counter import Counter
from maestro_actors.ledger.ledger import Ledger
from maestro_actors.ledger.rows import loader, row_of
from maestro_actors.messages import CorrectCall
from maestro_runtime.ports.memory import StoreMemory
from maestro_runtime.prices import open_prices
from maestro_storage import Store
from maestro_storage.errors import NotFound
from maestro_storage.records import CallRecord
from maestro_storage.transition import Transition


def correct(store: Store, order: CorrectCall) -> CallRecord:
    """Book what a closed call has really used; durable on return.

    The same correction of the same call again changes nothing. Alerts that it raises are sent by
    the next runtime.

    Returns:
        The row of the call, with the correction.

    Raises:
        NotFound: There is no such session or call.
        SessionQuarantined: A record of the session is damaged.
        UsageInvalid: The figures cannot be.
        LedgerConflict: See `maestro_actors.accounting.adjustment.correct`.
        PriceTableInvalid: The price table of the state directory is not one.
        StorageError: The correction could not be written.
    """
    store.require_session(order.session_id)
    call = store.calls.get(order.session_id, order.call_id)
    if call is None:
        raise NotFound("call", f"{order.session_id}/{order.call_id.hex()}")
    memory = StoreMemory(store)
    ledger = Ledger(loader(memory.counter), memory.counted_until_ms())
    card = open_prices(store.path).card(call.model or call.engine, call.opened_ms)
    done = adjustment.correct(ledger, call, order, card, store.epoch)
    if done is None:
        return call
    _put(store, done.draft, done.change.counters, order.at_ms)
    for alert in done.change.alerts:
        write_alert(done.draft, alert, done.call, order.at_ms, store.epoch)
    # Nobody lives here to be told; the next runtime reads the outbox.
    done.draft.deliveries = ()
    store.journal.commit(done.draft).result()
    return done.call


def _put(store: Store, draft: Transition, counters: Iterable[Counter], at_ms: int) -> None:
    for counter in counters:
        draft.put(row_of(counter, at_ms, store.epoch))
