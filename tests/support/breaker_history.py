"""A circuit breaker, replayed by the book from the histories of all sessions that use it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final

from maestro_actors.team import BreakerPolicy
from maestro_storage import StateView
from session_model import ModelBreaker, ModelCall

ENGINE_FAULTS: Final = frozenset({"transient"})
"""Of the failures of the engine, those that the breaker counts."""


@dataclass(frozen=True)
class Move:
    """A call that leaves or ends, and what the breaker said in the same transition."""

    session_id: str
    task_id: str
    epoch: int
    at_ms: int
    begins: bool
    answered: bool | None = None
    """How it has ended; None: nobody knows."""
    told: str | None = None
    """The kind of the event."""


@dataclass
class World:
    """One way in which it may have come about."""

    breaker: ModelBreaker
    calls: dict[tuple[str, str], ModelCall] = field(default_factory=dict)
    """Those in flight, by session and task."""

    def after(self, move: Move) -> "World":
        """Return the world after a move; AssertionError if it must not happen in this one."""
        breaker, calls = copy(self.breaker), dict(self.calls)
        name = move.session_id, move.task_id
        if move.begins:
            calls[name] = ModelCall(move.task_id, 0, 0, move.epoch)
            due = breaker.open_call(calls[name], move.at_ms)
        else:
            due = breaker.close_call(calls.pop(name), move.answered, move.at_ms)
        assert move.told == due, f"{move} instead of {due}"
        return World(breaker, calls)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from other worlds in which the same moves were made."""
        breaker = self.breaker
        probe = [name for name, call in self.calls.items() if call is breaker.probe]
        return (
            *(breaker.state, breaker.recorded, breaker.failures, breaker.opened_count),
            *(breaker.retry_at_ms, *probe),
        )


def check_breaker(store: StateView, engine: str, policy: BreakerPolicy) -> None:
    """Invariant 4: the histories let no call out while the breaker is open.

    Each session has its own history. Calls of the same millisecond may have been made in any order;
    one must be by the book. Holds for a policy without jitter that all sessions share.
    """
    moves = [
        move for session in store.sessions.scan() for move in _moves(store, session.session_id)
    ]
    moves.sort(key=_moment)
    worlds = [World(ModelBreaker(policy))]
    epoch = 0
    for _, group in groupby(moves, _moment):
        beside = list(group)
        if beside[0].epoch != epoch:
            epoch = beside[0].epoch
            for world in worlds:
                world.breaker.restart()
        worlds = _worlds_after(worlds, beside)
    record = store.breakers.get(engine)
    found = ("closed", 0) if record is None else (record.state, record.failures)
    # What was half open is so on record until the next call or refusal, whoever has died.
    ends = {
        (state, world.breaker.failures) for world in worlds for state in world.breaker.on_record
    }
    assert found in ends, f"{found} is on record, not {ends}"


def _moment(move: Move) -> tuple[int, int]:
    return move.epoch, move.at_ms


def _worlds_after(worlds: Iterable[World], moves: list[Move]) -> list[World]:
    """Return the worlds after moves of one moment, in every order that is by the book."""
    lanes: dict[str, list[Move]] = defaultdict(list)
    for move in moves:
        lanes[move.session_id].append(move)
    begin = (0,) * len(lanes)
    places = {(begin, world.key): world for world in worlds}
    for _ in moves:
        further: dict[tuple[tuple[int, ...], tuple[object, ...]], World] = {}
        refused: AssertionError | None = None
        for (done, _key), world in places.items():
            for place, lane in enumerate(lanes.values()):
                if done[place] < len(lane):
                    try:
                        after = world.after(lane[done[place]])
                    except AssertionError as error:
                        refused = error
                        continue
                    then = (*done[:place], done[place] + 1, *done[place + 1 :])
                    further.setdefault((then, after.key), after)
        if not further:
            raise AssertionError(f"by the book there is no order of {moves}") from refused
        places = further
    return list(places.values())


def _moves(store: StateView, session_id: str) -> Iterator[Move]:
    """Read the moves of a session."""
    last: Move | None = None
    for event in store.events.scan(session_id):
        if event.kind.startswith("breaker_"):
            assert last is not None, f"{event} comes with no call"
            assert last.told is None, f"{event} comes with no call"
            last = replace(last, told=event.kind)
        elif event.kind == "attempt_started" or event.kind in _ANSWERED:
            if last is not None:
                yield last
            answered = _ANSWERED.get(event.kind)
            if event.kind == "attempt_failed":
                answered = event.data["failure"] not in ENGINE_FAULTS
            last = Move(
                session_id,
                event.task_id,
                event.epoch,
                event.at_ms,
                begins=event.kind == "attempt_started",
                answered=answered,
            )
    if last is not None:
        yield last


_ANSWERED: Final = {"attempt_succeeded": True, "attempt_failed": True, "attempt_interrupted": None}
