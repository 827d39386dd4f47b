"""Whether a call may begin now, and who is next when one may: the limits of all sessions.

Whoever may not begin waits for its turn, and is woken when there is room for it. That room is kept
until it has asked again, or has had the time to. Nobody waits while there is room for it, but for
one case: a call that waits for the minute of its engine lets no other call of that engine pass,
because one that needs many tokens would else wait for ever.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from maestro_actors.accounting.minute import MINUTE_MS, Entry, Minute
from maestro_actors.limits import CallLimits, EngineLimits

PRIORITY_POINT_MS: Final = 60_000
"""A point of priority goes before what has waited for a minute longer, so nobody waits for ever."""
ROOM_KEPT_MS: Final = 1_000
"""How long room, at a limit or in a budget, is kept for a call that was woken for it."""


class Blocked(NamedTuple):
    """Why a call may not begin."""

    limit: str
    """In words."""
    until_ms: int | None
    """When it may at the earliest; None: when another call has ended."""


class Applicant(NamedTuple):
    """A call that wants to begin."""

    address: str
    engine: str
    persona_id: str
    tokens: int
    turn: tuple[int, int] = (0, 0)
    """The least is next: when it came, its priority taken off; then a number."""


class Recent(NamedTuple):
    """A call that began before there was a limit for it."""

    call_id: bytes
    engine: str
    persona_id: str
    opened_ms: int
    requests: int
    tokens: int


class _Kept(NamedTuple):
    applicant: Applicant
    until_ms: int


@dataclass(slots=True)
class _Gate:
    """How many may be in flight."""

    limit: int | None = None
    busy: int = 0
    """In flight, or about to be: room is kept."""

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.busy >= self.limit


@dataclass(slots=True)
class _EngineGate(_Gate):
    requests: Minute | None = None
    tokens: Minute | None = None


class _Begun(NamedTuple):
    """A call in flight, and what it counts as."""

    engine: str
    persona_id: str
    requests: Entry | None
    tokens: Entry | None
    reserved_requests: int
    reserved_tokens: int


@dataclass(slots=True)
class _Queues:
    """Who waits, by what sets them apart: those of one lane come in the order of their turns."""

    waiting: dict[str, Applicant] = field(default_factory=dict)
    lanes: dict[tuple[str, str], list[tuple[tuple[int, int], Applicant]]] = field(
        default_factory=dict
    )

    def add(self, lane: tuple[str, str], applicant: Applicant) -> None:
        self.waiting[applicant.address] = applicant
        heapq.heappush(self.lanes.setdefault(lane, []), (applicant.turn, applicant))

    def heads(self, is_alive: Callable[[str], bool]) -> list[Applicant]:
        """Return the first of each lane, in the order of their turns."""
        for lane, heap in tuple(self.lanes.items()):
            while heap and not self._stands(heap[0][1], is_alive):
                heapq.heappop(heap)
            if not heap:
                del self.lanes[lane]
        return [applicant for _, applicant in sorted(heap[0] for heap in self.lanes.values())]

    def _stands(self, applicant: Applicant, is_alive: Callable[[str], bool]) -> bool:
        """Whether somebody still waits; who has left is only noticed at the front."""
        if self.waiting.get(applicant.address) is not applicant:
            return False
        if is_alive(applicant.address):
            return True
        del self.waiting[applicant.address]
        return False


class Throttle:
    """Calls in flight, minutes, and who waits. Plain state, one thread; instants never go back."""

    def __init__(self, is_alive: Callable[[str], bool]) -> None:
        """Make one without limits; `is_alive` says whether somebody lives at an address."""
        self._is_alive = is_alive
        self._attempts = _Gate()
        self._engines: dict[str, _EngineGate] = {}
        self._personas: dict[str, _Gate] = {}
        self._queues = _Queues()
        self._woken: dict[str, _Kept] = {}
        """Room is kept for them; those that were woken first come first."""
        self._late: dict[str, Applicant] = {}
        """Room was kept for them, but for too long: they have their turn when they ask."""
        self._begun: dict[bytes, _Begun] = {}
        self._freed: list[str] = []
        """Woken, and nobody has told them yet."""
        self._number = 0

    def govern(
        self,
        limits: CallLimits,
        open_calls: Iterable[Recent],
        recent_calls: Callable[[int], Iterable[Recent]],
        now_ms: int,
    ) -> None:
        """Follow other limits; what is in flight, or began within the last minute, counts.

        Args:
            limits: In place of those before.
            open_calls: All calls in flight.
            recent_calls: Returns the calls that have begun after an instant, those in flight too.
                Asked only if an engine has no minute yet.
            now_ms: Wall clock.
        """
        self.lapse(None)
        begun, in_flight = self._begun, {call.call_id: call for call in open_calls}
        new = {
            name
            for name, wanted in limits.engines.items()
            if _lacks_minute(wanted, self._engines.get(name))
        }
        self._engines = {
            name: _engine_gate(wanted, None if name in new else self._engines.get(name))
            for name, wanted in limits.engines.items()
        }
        self._attempts = _Gate(limits.attempts)
        self._personas = {name: _Gate(limit) for name, limit in limits.personas.items()}
        self._begun = {}
        for call_id, call in in_flight.items():
            self._count(call.engine, call.persona_id, 1)
            unknown = _Begun(call.engine, call.persona_id, None, None, 0, 0)
            self._begun[call_id] = unknown if call.engine in new else begun.get(call_id, unknown)
        if new:
            since_ms = now_ms - MINUTE_MS
            # The records may not have those that have just begun.
            known = {call.call_id: call for call in recent_calls(since_ms)} | in_flight
            for call in sorted(known.values(), key=lambda call: call.opened_ms):
                if call.engine in new and call.opened_ms > since_ms:
                    at_ms = min(call.opened_ms, now_ms)
                    entered = self._entered(
                        call.engine, call.persona_id, call.requests, call.tokens, at_ms
                    )
                    if call.call_id in in_flight:
                        self._begun[call.call_id] = entered
        waiting, self._queues = self._queues.waiting, _Queues()
        for applicant in waiting.values():
            self._queues.add(self._lane(applicant), applicant)

    def admit(self, applicant: Applicant, at_ms: int, priority: int) -> Blocked | None:
        """Let a call begin now, or let it wait.

        Returns:
            None if it may: either `begin` it, or call `wake`, as nothing is counted yet. Else why
            not; its address is woken when it may ask again.
        """
        queues = self._queues
        if not (queues.waiting or self._woken or self._late):
            # Most often nobody waits, and nothing need be known of the applicant.
            blocked = self._hindrance(applicant, at_ms)
            if blocked is None:
                return None
        before = self.leave(applicant.address)
        self._number += 1
        turn = before.turn if before else (at_ms - priority * PRIORITY_POINT_MS, self._number)
        applicant = applicant._replace(turn=turn)
        queues.add(self._lane(applicant), applicant)
        while (first := self._next(at_ms)) is not None:
            if first is applicant:
                return None
            self._keep(first, at_ms)
        others = f"engine {applicant.engine}: others are before it"
        return self._hindrance(applicant, at_ms) or Blocked(others, None)

    def begin(
        self, call_id: bytes, engine: str, persona_id: str, *, tokens: int, at_ms: int
    ) -> None:
        """Count a call that has been let through, with the tokens that are reserved for it."""
        self._count(engine, persona_id, 1)
        self._begun[call_id] = self._entered(engine, persona_id, 1, tokens, at_ms)

    def end(self, call_id: bytes, requests: int, tokens: int) -> None:
        """Count what a call has used, and that it is not in flight any more."""
        begun = self._begun.pop(call_id, None)
        if begun is None:
            return
        self._count(begun.engine, begun.persona_id, -1)
        gate = self._engines.get(begun.engine)
        if gate is None:
            return
        if gate.requests is not None and begun.requests is not None:
            gate.requests.correct(begun.requests, requests - begun.reserved_requests)
        if gate.tokens is not None and begun.tokens is not None:
            gate.tokens.correct(begun.tokens, tokens - begun.reserved_tokens)

    def leave(self, address: str) -> Applicant | None:
        """Forget somebody who waits, or was woken; it loses its turn."""
        kept = self._woken.pop(address, None)
        if kept is not None:
            self._reserve(kept.applicant, -1)
            return kept.applicant
        return self._queues.waiting.pop(address, None) or self._late.pop(address, None)

    def wake(self, now_ms: int) -> list[str]:
        """Return who may ask now, in the order of their turns; room is kept for them."""
        while (first := self._next(now_ms)) is not None:
            self._keep(first, now_ms)
        freed, self._freed = self._freed, []
        return freed

    def lapse(self, now_ms: int | None) -> None:
        """Keep room no longer for those that have had the time to ask; None: for nobody."""
        for address, kept in tuple(self._woken.items()):
            if now_ms is not None and kept.until_ms > now_ms:
                break
            del self._woken[address]
            self._reserve(kept.applicant, -1)
            self._late[address] = kept.applicant
        for address in [address for address in self._late if not self._is_alive(address)]:
            del self._late[address]

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody waits, or has been woken and not been told yet."""
        return bool(self._queues.waiting or self._freed)

    def due_ms(self, now_ms: int) -> int | None:
        """Return when something changes by itself for those who wait; None: never."""
        heads = self._queues.heads(self._is_alive)
        if not heads:
            return None
        instants = [
            minute for head in heads if (minute := self._minute_ms(head, now_ms)) is not None
        ]
        if self._woken:
            instants.append(next(iter(self._woken.values())).until_ms)
        return min(instants, default=None)

    def _next(self, now_ms: int) -> Applicant | None:
        """Take the next who may begin from the queues."""
        if self._attempts.is_full:
            return None
        shut = set()
        for applicant in self._queues.heads(self._is_alive):
            persona = self._personas.get(applicant.persona_id)
            if applicant.engine in shut or (persona is not None and persona.is_full):
                continue
            if self._engine_hindrance(applicant, now_ms) is None:
                del self._queues.waiting[applicant.address]
                return applicant
            shut.add(applicant.engine)
        return None

    def _keep(self, applicant: Applicant, now_ms: int) -> None:
        self._reserve(applicant, 1)
        self._woken[applicant.address] = _Kept(applicant, now_ms + ROOM_KEPT_MS)
        self._freed.append(applicant.address)

    def _hindrance(self, applicant: Applicant, now_ms: int) -> Blocked | None:
        if self._attempts.is_full:
            return Blocked(f"attempts in flight: {self._attempts.limit}", None)
        persona = self._personas.get(applicant.persona_id)
        if persona is not None and persona.is_full:
            return Blocked(f"persona {applicant.persona_id}: concurrency {persona.limit}", None)
        return self._engine_hindrance(applicant, now_ms)

    def _engine_hindrance(self, applicant: Applicant, now_ms: int) -> Blocked | None:
        gate = self._engines.get(applicant.engine)
        if gate is None:
            return None
        if gate.is_full:
            return Blocked(f"engine {applicant.engine}: concurrency {gate.limit}", None)
        requests, tokens = gate.requests, gate.tokens
        if requests is not None and not requests.has_room(1, now_ms):
            limit = f"engine {applicant.engine}: {requests.limit} requests per minute"
            return Blocked(limit, self._minute_ms(applicant, now_ms))
        if tokens is not None and not tokens.has_room(applicant.tokens, now_ms):
            limit = f"engine {applicant.engine}: {tokens.limit} tokens per minute"
            return Blocked(limit, self._minute_ms(applicant, now_ms))
        return None

    def _minute_ms(self, applicant: Applicant, now_ms: int) -> int | None:
        """Return when the minutes of its engine have room for a call; None: they need not wait."""
        gate = self._engines.get(applicant.engine)
        if gate is None:
            return None
        asked = ((gate.requests, 1), (gate.tokens, applicant.tokens))
        instants = (
            minute.room_at_ms(amount)
            for minute, amount in asked
            if minute is not None and not minute.has_room(amount, now_ms)
        )
        return max((at_ms for at_ms in instants if at_ms is not None), default=None)

    def _lane(self, applicant: Applicant) -> tuple[str, str]:
        """Return what sets a applicant apart from others: only what has a limit."""
        engine = applicant.engine if applicant.engine in self._engines else ""
        return engine, applicant.persona_id if applicant.persona_id in self._personas else ""

    def _count(self, engine: str, persona_id: str, one: int) -> None:
        """Count one call more, or less, in flight."""
        self._attempts.busy += one
        engine_gate, persona_gate = self._engines.get(engine), self._personas.get(persona_id)
        if engine_gate is not None:
            engine_gate.busy += one
        if persona_gate is not None:
            persona_gate.busy += one

    def _reserve(self, applicant: Applicant, one: int) -> None:
        """Keep room for a call, or give it back."""
        self._count(applicant.engine, applicant.persona_id, one)
        gate = self._engines.get(applicant.engine)
        if gate is not None and gate.requests is not None:
            gate.requests.kept += one
        if gate is not None and gate.tokens is not None:
            gate.tokens.kept += one * min(applicant.tokens, gate.tokens.limit)

    def _entered(
        self, engine: str, persona_id: str, requests: int, tokens: int, at_ms: int
    ) -> _Begun:
        """Enter a call into the minutes of its engine."""
        gate = self._engines.get(engine)
        of_requests = of_tokens = None
        if gate is not None and gate.requests is not None:
            of_requests = gate.requests.add(requests, at_ms)
        if gate is not None and gate.tokens is not None:
            of_tokens = gate.tokens.add(tokens, at_ms)
        return _Begun(engine, persona_id, of_requests, of_tokens, requests, tokens)


def _lacks_minute(wanted: EngineLimits, before: _EngineGate | None) -> bool:
    """Whether a minute is wanted that nobody has counted so far."""
    requests = before is not None and before.requests is not None
    tokens = before is not None and before.tokens is not None
    return (wanted.requests_per_minute is not None and not requests) or (
        wanted.tokens_per_minute is not None and not tokens
    )


def _engine_gate(limits: EngineLimits, before: _EngineGate | None) -> _EngineGate:
    """Return the gate of an engine; a minute that has begun goes on."""
    return _EngineGate(
        limits.concurrency,
        requests=_minute(limits.requests_per_minute, before.requests if before else None),
        tokens=_minute(limits.tokens_per_minute, before.tokens if before else None),
    )


def _minute(limit: int | None, before: Minute | None) -> Minute | None:
    if limit is None:
        return None
    if before is None:
        return Minute(limit)
    before.limit = limit
    return before
