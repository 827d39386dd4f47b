"""The circuit breaker as a state machine: no clock, no actor, no record; instants come in.

Closed, it counts consecutive failures and opens at the limit. Open, it refuses until its reset
delay has passed; then it is half open, and exactly one call goes out as the probe. The probe's
success closes it, its failure opens it again, for longer each time.
"""

from typing import Final

from maestro_actors.deadline import in_reach
from maestro_actors.identity import fraction_of
from maestro_actors.team import BreakerPolicy
from maestro_actors.text import WHO_CHARACTERS_MAX, storable
from maestro_storage.records import BreakerRecord, BreakerState
from maestro_storage.transition import Event

_KINDS: Final[dict[BreakerState, str]] = {
    "closed": "breaker_closed",
    "open": "breaker_opened",
    "half_open": "breaker_probed",
}


class Breaker:
    """The state of one breaker. Its owner asks before each call and reports each end."""

    def __init__(self, name: str, policy: BreakerPolicy) -> None:
        self._name = name
        self._policy = policy
        self.state: BreakerState = "closed"
        self.failures = 0
        """Consecutive failures, those of probes included."""
        self.opened_count = 0
        """Times in a row it has opened without a success in between."""
        self.opened_total = 0
        """Times it has opened since there are records of it."""
        self.failed_total = 0
        """Calls that failed by the engine's fault, whatever the state, since there are records."""
        self.refused_total = 0
        """Calls that were refused, since there are records."""
        self.changed_by = ""
        """Who opened or closed it by hand; empty once a call has changed it."""
        self.retry_at_ms = 0
        """When an open breaker lets its probe through."""
        self.probe: bytes | None = None
        """The call that is out as the probe, while it is half open."""

    def restore(self, record: BreakerRecord) -> None:
        """Take up a recorded state. A probe died with its process: the next call is the probe."""
        self.state = "closed" if record.state == "closed" else "open"
        self.failures = record.failures
        self.opened_count = record.opened_count
        self.opened_total = record.opened_total
        self.failed_total = record.failed_total
        self.refused_total = record.refused_total
        self.changed_by = record.changed_by
        self.retry_at_ms = record.retry_at_ms or 0

    def bring_back(self, now_ms: int) -> bool:
        """Probe no later than after the longest delay from now; True if that is earlier.

        For a state that was restored: the wall clock may have been set back since.
        """
        before_ms = self.retry_at_ms
        self.retry_at_ms = in_reach(before_ms, now_ms, round(self._longest_seconds * 1000))
        return self.retry_at_ms != before_ms

    def record(self, epoch: int) -> BreakerRecord:
        """Return what is to be durable of the state."""
        return BreakerRecord(
            engine=self._name,
            state=self.state,
            failures=self.failures,
            opened_count=self.opened_count,
            opened_total=self.opened_total,
            retry_at_ms=None if self.state == "closed" else self.retry_at_ms,
            epoch=epoch,
            failed_total=self.failed_total,
            refused_total=self.refused_total,
            changed_by=self.changed_by,
        )

    def event(self, session_id: str, at_ms: int) -> Event:
        """Return the line of a session's history about the state the breaker is in now."""
        closed = self.state == "closed"
        data: dict[str, str | int | float | bool | None] = {
            "engine": self._name,
            "failures": self.failures,
            "retry_at_ms": None if closed else self.retry_at_ms,
        }
        if self.changed_by:
            data["by"] = self.changed_by
        return Event(session_id, _KINDS[self.state], at_ms, data=data)

    def govern(self, policy: BreakerPolicy) -> None:
        """Follow another policy from now on; a delay that has begun stays as it is."""
        self._policy = policy

    def admits(self, call_id: bytes, now_ms: int) -> bool:
        """Ask for a call; the first one after the delay becomes the probe.

        The probe itself may ask again: a persona that failed before its call was open does.
        """
        if self.state == "open" and now_ms >= self.retry_at_ms:
            self.state = "half_open"
            self.probe = call_id
            self.changed_by = ""
        admitted = self.state == "closed" or call_id == self.probe
        self.refused_total += not admitted
        return admitted

    def ask_again_ms(self, now_ms: int) -> int:
        """Return when a refused call should ask again."""
        if self.state == "open":
            return self.retry_at_ms
        # While the probe is out nobody knows when it ends; its success wakes who waits.
        return now_ms + round(self._policy.reset_seconds * 1000)

    def report(self, call_id: bytes, now_ms: int, *, verdict: bool | None) -> None:
        """Note how a call ended: True answered, False failed as an engine, None nothing learnt.

        An open breaker learns nothing from calls that left before it opened, a half open one
        nothing from calls that are not its probe.
        """
        self.failed_total += verdict is False
        if self.state == "closed" and verdict is not None:
            self.failures = 0 if verdict else self.failures + 1
            if self.failures >= self._policy.failures_max:
                self._open(now_ms)
        elif self.state == "half_open" and call_id == self.probe:
            self._end_probe(now_ms, verdict=verdict)

    def return_probe(self, call_id: bytes) -> bool:
        """Note that an admitted call will not happen; True if it was the probe."""
        if self.state != "half_open" or call_id != self.probe:
            return False
        self._end_probe(0, verdict=None)
        return True

    def trip(self, now_ms: int, by: str = "") -> None:
        """Open it by hand, for one reset delay."""
        self.probe = None
        self._open(now_ms)
        self.changed_by = storable(by, WHO_CHARACTERS_MAX)

    def reset(self, by: str = "") -> None:
        """Close it by hand and forget its failures; the totals stay."""
        self._close()
        self.changed_by = storable(by, WHO_CHARACTERS_MAX)

    def _close(self) -> None:
        self.changed_by = ""
        self.state = "closed"
        self.failures = 0
        self.opened_count = 0
        self.retry_at_ms = 0
        self.probe = None

    def _end_probe(self, now_ms: int, *, verdict: bool | None) -> None:
        self.probe = None
        if verdict is None:
            # The delay has passed already: the next call is the next probe.
            self.state = "open"
        elif verdict:
            self._close()
        else:
            self.failures += 1
            self._open(now_ms)

    def _open(self, now_ms: int) -> None:
        policy = self._policy
        # The exponent is capped so that a long outage cannot overflow a float.
        delay = policy.reset_seconds * policy.growth ** min(self.opened_count, 32)
        delay *= 1.0 + policy.jitter * fraction_of(f"{self.opened_total}\0{self._name}")
        self.changed_by = ""
        self.state = "open"
        self.opened_count += 1
        self.opened_total += 1
        self.retry_at_ms = now_ms + round(min(delay, self._longest_seconds) * 1000)

    @property
    def _longest_seconds(self) -> float:
        """The longest delay before a probe."""
        return max(self._policy.reset_seconds, self._policy.reset_max_seconds)
