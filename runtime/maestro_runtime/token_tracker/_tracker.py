"""Token accounting for programs that make their calls themselves, without a session."""

import functools
import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from maestro_actors.engine import Usage
from maestro_actors.errors import TokenBudgetExceeded
from maestro_actors.ledger.amounts import Amounts, used
from maestro_actors.ledger.budget import Budget, Caller
from maestro_actors.ledger.counter import Counter
from maestro_actors.ledger.errors import LedgerConflict
from maestro_actors.ledger.history import History
from maestro_actors.ledger.ledger import Ledger
from maestro_actors.ledger.rows import loader, persona_budget, persona_row_of
from maestro_runtime.token_tracker._books import Books, MemoryBooks, StoreBooks
from maestro_storage.records import CallRecord

if TYPE_CHECKING:
    from concurrent.futures import Future

TRACKER_SESSION: Final = "token-tracker"
"""Session that a tracker books under, unless it is given another."""

_NOTHING: Final = Amounts()


class TrackedUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one persona has used."""

    persona_id: str
    tokens_used: int
    budget: int

    @property
    def tokens_left(self) -> int:
        """What is left of the budget, never below 0."""
        return max(0, self.budget - self.tokens_used)


class TokenTracker:
    """Counts the tokens of personas against a budget each. Any thread.

    In memory, or durably in a state directory, which it then owns until it is closed: a call that
    `record` has returned from, or raised TokenBudgetExceeded from, survives power loss.
    """

    def __init__(
        self,
        *,
        max_tokens_per_persona: int | Mapping[str, int],
        state_dir: Path | str | None = None,
        session_id: str = TRACKER_SESSION,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Open a tracker.

        Args:
            max_tokens_per_persona: One budget for every persona, or one for each by its id.
            state_dir: Where to keep the books; None: in memory.
            session_id: Names the books; those of other sessions are counted apart.
            now_ms: Wall clock, in milliseconds.

        Raises:
            StateOwned: Another process owns the state directory.
            StorageError: The state directory cannot be used; see `Store.open`.
        """
        self._budgets = max_tokens_per_persona
        self._session_id = session_id
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._books: Books = (
            MemoryBooks() if state_dir is None else StoreBooks(state_dir, session_id)
        )
        self._ledger = Ledger(loader(self._books.counter))
        self._history = History()
        self._in_flight: dict[bytes, tuple[CallRecord, Future[None]]] = {}
        """Calls that are booked and not durable yet: the books do not show them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def record(
        self,
        persona_id: str,
        usage: Usage | None = None,
        *,
        tokens: int = 0,
        input_tokens: int = 0,
        output_tokens: int = 0,
        key: str | None = None,
    ) -> TrackedUsage:
        """Book a call that was made. It is durable on return, and when the budget is exceeded.

        Args:
            persona_id: Who made it.
            usage: What it used; None: the tokens below together.
            tokens: Used, of a kind that nobody knows; booked as input.
            input_tokens: See `usage`.
            output_tokens: See `usage`.
            key: Names the call: booked once, however often it is recorded. None: another call.

        Returns:
            What the persona has used, this call included.

        Raises:
            TokenBudgetExceeded: The persona is over its budget. The call is booked.
            UsageInvalid: The figures cannot be. Nothing is booked, as below.
            LedgerConflict: Something else was recorded under this key.
            KeyError: There is no budget for this persona.
            StorageError: The call could not be made durable.
        """
        if usage is None:
            usage = Usage(input_tokens=tokens + input_tokens, output_tokens=output_tokens)
        usage.check()
        name = uuid.uuid4().hex if key is None else key
        call = self._call(persona_id, usage, name)
        with self._lock:
            counter = self._counter(persona_id)
            known = self._in_flight.get(call.call_id)
            booked = known[0] if known is not None else self._books.call(call.call_id)
            written = None if known is None else known[1]
            if booked is None:
                written = self._book(call, usage)
            elif _facts(booked) != _facts(call):
                raise LedgerConflict(f"call {name!r}", "was recorded with other figures")
            tracked = _tracked(persona_id, counter)
        # Outside the lock, so that the calls of other threads share the commit.
        if written is not None:
            written.result()
        with self._lock:
            self._in_flight.pop(call.call_id, None)
        # Also for a call that was booked before: whoever repeats one gets the same answer.
        if tracked.tokens_used > tracked.budget:
            before = tracked.tokens_used - usage.total
            raise TokenBudgetExceeded(persona_id, tracked.budget, before, 0, usage.total)
        return tracked

    def get_usage(self, persona_id: str) -> TrackedUsage:
        """Return what a persona has used; nothing before its first call.

        Raises:
            KeyError: There is no budget for this persona.
        """
        with self._lock:
            return _tracked(persona_id, self._counter(persona_id))

    def get_report(self) -> dict[str, TrackedUsage]:
        """Return what every persona that has made a call has used, by persona id."""
        return {persona_id: self.get_usage(persona_id) for persona_id in self._books.personas()}

    def close(self) -> None:
        """Give the state directory up. A second call does nothing."""
        self._books.close()

    def _book(self, call: CallRecord, usage: Usage) -> "Future[None]":
        """Settle a call and queue its row, the counter after it, and its cell of the history."""
        self._ledger.reserve(
            call.call_id,
            Caller(call.session_id, call.persona_id),
            (self._budget(call.persona_id),),
            need=_NOTHING,
            floor=_NOTHING,
            at_ms=call.opened_ms,
        )
        (counter,) = self._ledger.settle(call.call_id, used(usage, None)).counters
        row = persona_row_of(counter, self._books.epoch)
        cell = self._history.add(call, self._books.epoch)
        written = self._books.book(call, row, cell)
        self._in_flight[call.call_id] = call, written
        return written

    def _call(self, persona_id: str, usage: Usage, name: str) -> CallRecord:
        """Return the row of a call; its id is derived from the books and its key."""
        place = f"{self._session_id}\0{name}".encode()
        now_ms = self._now_ms()
        return CallRecord(
            session_id=self._session_id,
            call_id=hashlib.blake2b(place, digest_size=16, person=b"maestro.tracker").digest(),
            task_id="",
            persona_id=persona_id,
            engine="",
            round=1,
            attempt=1,
            state="settled",
            reserved_tokens=0,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            basis=usage.basis,
            opened_ms=now_ms,
            closed_ms=now_ms,
            epoch=self._books.epoch,
            requests=usage.requests,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost_basis="unpriced",
        )

    def _budget(self, persona_id: str) -> Budget:
        limit = self._budgets if isinstance(self._budgets, int) else self._budgets[persona_id]
        return _counted(persona_id, limit)

    def _counter(self, persona_id: str) -> Counter:
        caller = Caller(self._session_id, persona_id)
        return self._ledger.counter(self._budget(persona_id), caller, self._now_ms())


@functools.lru_cache(maxsize=1024)
def _counted(persona_id: str, limit: int) -> Budget:
    """Return a budget that refuses nothing: what is recorded here has already been used."""
    return msgspec.structs.replace(persona_budget(persona_id, limit), action="warn")


def _tracked(persona_id: str, counter: Counter) -> TrackedUsage:
    return TrackedUsage(persona_id=persona_id, tokens_used=counter.spent, budget=counter.limit)


def _facts(call: CallRecord) -> tuple[str | int, ...]:
    """Return what a repeated call must have in common with the first."""
    return (
        call.persona_id,
        call.input_tokens,
        call.output_tokens,
        call.requests,
        call.cache_read_tokens,
        call.cache_write_tokens,
        call.reasoning_tokens,
    )
