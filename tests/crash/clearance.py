"""SIGKILL while the sessions of a run that is over are removed, beside others that have begun.

Each life begins a session, and has it and all that there are removed in some order, with `cancel`
for those that have not ended. Whatever is left is there whole, or gone whole: its records and its
payloads. What was said to be removed is gone, what was said to be so in time is gone with the last
life. Files stay, and so does the history of usage.
"""

import random
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import clearing
import forked
from belongings import belongings
from committer import COMMITTERS
from invariants import Observed, check_books, check_sessions
from maestro_storage import StateView, Store
from maestro_storage.bookings import CounterKey
from mortal import Places
from outside import Outside, Seen

COMMITS_MAX: Final = 8
"""Most commits of a life that begins a session and has it removed, as a rule."""
COMMITS_OF_A_SESSION: Final = 2
"""How many more there are for each that is there."""
KILLS_MAX: Final = 6
UNLIMITED: Final = "all"
"""The budget of a program that counts all tokens of all sessions for ever."""


class Booked(NamedTuple):
    """What outlives the sessions it was spent in."""

    calls: int
    tokens: int
    alerts: frozenset[tuple[CounterKey, int]]
    """The counters of no session that have reached a share, and which."""


class Clearance:
    """The sessions that a run has left, all ended and settled, until the state is empty."""

    def __init__(
        self, places: Places, world: Outside, chance: random.Random, most: Observed
    ) -> None:
        """Take what is there; `most` is what the team allows."""
        self._places = places
        self._world = world
        self._chance = chance
        self._observed = most
        self._before = world.look()
        with Store.inspect(places.state_dir) as store:
            self._left = belongings(store)
            self._files = _files(store)
            self._booked = _booked(store)
        self._begun: list[str] = []
        """Sessions of the lives, one of each."""
        self._known = frozenset(self._left)
        """All there have ever been."""
        self._removed: set[str] = set()

    def rage(self) -> Counter[str]:
        """Kill until nothing is left; return what was done."""
        kills = 0
        while kills < KILLS_MAX and not self._lived(last=False):
            kills += 1
            self._check()
        if kills == KILLS_MAX and not self._lived(last=True):
            raise RuntimeError("the clearance that nobody killed did not end well")
        self._check()
        with Store.inspect(self._places.state_dir) as store:
            assert belongings(store) == {}, "not all are removed"
        return Counter(
            kills=kills,
            removed=len(self._removed),
            removed_early=len(self._removed & set(self._begun)),
        )

    def _lived(self, *, last: bool) -> bool:
        """Let a life clear up until it is through or killed; True if it was through."""
        self._begun.append(f"begun-{len(self._begun)}")
        self._known |= {self._begun[-1]}
        when = "never" if last else self._chance.choice(("before", "after"))
        most = COMMITS_MAX + COMMITS_OF_A_SESSION * len(self._left)
        number, seed = self._chance.randint(1, most), self._chance.randrange(1 << 16)
        places = replace(self._places, committer=self._chance.choice(COMMITTERS))
        code = forked.run(clearing.main, places, when, number, self._begun[-1], seed)
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"the clearance ended with exit code {code}")
        return code == 0

    def _check(self) -> None:
        seen = self._world.look()
        with Store.inspect(self._places.state_dir) as store:
            assert not store.quarantined
            there = belongings(store)
            self._check_words(store, seen)
            for name in self._left.keys() & there.keys():
                assert there[name] == self._left[name], f"{name} is neither there nor gone"
            assert there.keys() <= self._known
            # What is gone once does not come back.
            self._left = {name: had for name, had in self._left.items() if name in there}
            self._observed.acknowledged = [
                told.event
                for told in seen.told
                if told.event is not None and told.event.session_id in there
            ]
            self._observed.removed = self._known - there.keys()
            check_sessions(store, self._observed)
            check_books(store, self._observed)
            self._check_usage(store, seen)
        assert {path: path.read_bytes() for path in self._files} == self._files
        self._check_postings(seen)

    def _check_words(self, store: StateView, seen: Seen) -> None:
        for told in seen.told:
            if told.state == clearing.GONE:
                self._removed.add(told.session_id)
                assert store.sessions.get(told.session_id) is None, f"{told}, but it is there"
            elif told.state == clearing.ASKED:
                record = store.sessions.get(told.session_id)
                assert record is None or record.removal, f"{told}, but it is not on record"

    def _check_usage(self, store: StateView, seen: Seen) -> None:
        """What was used stays booked and counted, and nothing is booked but bills."""
        booked = _booked(store)
        assert booked.calls >= self._booked.calls
        assert booked.tokens >= self._booked.tokens
        assert booked.alerts >= self._booked.alerts
        counted = [row for row in store.counters.scan() if row.counter.budget_id == UNLIMITED]
        assert sum(row.spent for row in counted) == booked.tokens
        if seen.provider_tells:
            still_open = {call.call_id.hex() for call in store.calls.scan() if call.state == "open"}
            billed = [bill for bill in seen.bills if bill.call_id not in still_open]
            assert booked.tokens == sum(bill.input_tokens + bill.output_tokens for bill in billed)
        self._booked = booked

    def _check_postings(self, seen: Seen) -> None:
        """Nothing is posted again of what had been settled."""
        before = Counter(line.webhook_id for line in self._before.posted)
        now = Counter(line.webhook_id for line in seen.posted)
        assert {name: now[name] for name in before} == before


def _booked(store: StateView) -> Booked:
    cells = list(store.usage.scan())
    tokens = sum(cell.input_tokens + cell.output_tokens for cell in cells)
    alerts = frozenset(
        (row.counter, row.permille) for row in store.alerts.scan() if not row.counter.session_id
    )
    return Booked(sum(cell.calls for cell in cells), tokens, alerts)


def _files(store: StateView) -> dict[Path, bytes]:
    """Return what is in the workspaces of all sessions."""
    places = [Path(record.output_dir) for record in store.sessions.scan()]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files}
