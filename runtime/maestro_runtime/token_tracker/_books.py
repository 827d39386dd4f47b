"""Where a token tracker keeps its books: in memory, or in a state directory."""

from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from maestro_actors.ledger.rows import CounterRow, persona_of
from maestro_runtime.ports.memory import StoreMemory
from maestro_storage import Store
from maestro_storage.bookings import CounterKey
from maestro_storage.records import BudgetRecord, CallRecord, UsageRecord
from maestro_storage.transition import Transition


class Books(Protocol):
    """Calls and counters of one session, as far as they are durable."""

    epoch: int
    """Goes into every record."""

    def call(self, call_id: bytes) -> CallRecord | None:
        """Return a booked call."""

    def counter(self, key: CounterKey) -> CounterRow | None:
        """Return the row of a persona's counter."""

    def personas(self) -> list[str]:
        """Return the personas that have made a call, sorted."""

    def book(self, call: CallRecord, budget: BudgetRecord, cell: UsageRecord) -> "Future[None]":
        """Write a call with counter and cell after it together; the future is set once durable."""

    def close(self) -> None:
        """Write what is queued and let go of the books."""


class MemoryBooks:
    """Books that end with the process."""

    def __init__(self) -> None:
        self.epoch = 0
        self._calls: dict[bytes, CallRecord] = {}
        self._budgets: dict[str, BudgetRecord] = {}

    def call(self, call_id: bytes) -> CallRecord | None:
        """Return a booked call."""
        return self._calls.get(call_id)

    def counter(self, key: CounterKey) -> CounterRow | None:
        """Return the row of a persona's counter."""
        return self._budgets.get(persona_of(key))

    def personas(self) -> list[str]:
        """Return the personas that have made a call, sorted."""
        return sorted(self._budgets)

    def book(
        self,
        call: CallRecord,
        budget: BudgetRecord,
        cell: UsageRecord,  # noqa: ARG002 - protocol
    ) -> "Future[None]":
        """Keep call and counter; the future is set. Nobody can look at the history."""
        self._calls[call.call_id] = call
        self._budgets[budget.persona_id] = budget
        written: Future[None] = Future()
        written.set_result(None)
        return written

    def close(self) -> None:
        """Do nothing: a program may ask for its figures after the end."""


class StoreBooks:
    """Books in a state directory, which this process owns until they are closed."""

    def __init__(self, state_dir: Path | str, session_id: str) -> None:
        with ExitStack() as refused:
            self._store = refused.enter_context(Store.open(state_dir))
            self._store.stay_silent()
            refused.pop_all()
        self._session_id = session_id
        self.epoch = self._store.epoch

    def call(self, call_id: bytes) -> CallRecord | None:
        """Return a booked call."""
        return self._store.calls.get(self._session_id, call_id)

    def counter(self, key: CounterKey) -> CounterRow | None:
        """Return the row of a persona's counter."""
        return StoreMemory(self._store).counter(key)

    def personas(self) -> list[str]:
        """Return the personas that have made a call, sorted."""
        return [row.persona_id for row in self._store.budgets.scan(self._session_id)]

    def book(self, call: CallRecord, budget: BudgetRecord, cell: UsageRecord) -> "Future[None]":
        """Hand all to the journal in one transition."""
        draft = Transition()
        draft.put(call)
        draft.put(budget)
        draft.put(cell)
        return self._store.journal.commit(draft)

    def close(self) -> None:
        """Write what is queued and give the state directory up."""
        self._store.close()
