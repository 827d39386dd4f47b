"""The verbs of a runtime that are about circuit breakers."""

from maestro_actors.circuit_breaker import BreakerProxy
from maestro_runtime.at_rest.breakers import open_at_rest, reset_at_rest
from maestro_runtime.reports.breakers import BreakerReport, breaker_report
from maestro_runtime.verbs._foundation import DURABLE_SECONDS, Foundation


class BreakerVerbs:
    """Breakers that a person opens and closes, whether somebody runs them or not."""

    def __init__(self, base: Foundation) -> None:
        self._base = base

    def open_breaker(self, name: str, *, by: str = "") -> BreakerReport:
        """Open a breaker for one reset delay; durable on return. Not from a listener.

        Args:
            name: See `Persona.breaker`.
            by: Who asks for it, for the history of the sessions that use it.

        Raises:
            NotFound: It has never moved, and no session which is kept uses it.
            pykka.Timeout: It was not durable within 30 seconds; it still may become so.
            StorageError: The change could not be written.
        """
        with self._base.starting:
            breaker = self._live_breaker(name)
            if breaker is None:
                return open_at_rest(self._base.store, name, by)
            breaker.trip(by)
            return self._moved(breaker, name)

    def close_breaker(self, name: str, *, by: str = "") -> BreakerReport:
        """Close a breaker and forget its failures; calls that wait ask again.

        Otherwise as `open_breaker`.
        """
        with self._base.starting:
            breaker = self._live_breaker(name)
            if breaker is None:
                return reset_at_rest(self._base.store, name, by)
            breaker.reset(by)
            return self._moved(breaker, name)

    def _live_breaker(self, name: str) -> BreakerProxy | None:
        breaker = self._base.breaker(name)
        return None if self._base.system.ref(breaker.address) is None else breaker

    def _moved(self, breaker: BreakerProxy, name: str) -> BreakerReport:
        # Answered after the order was handled, because the breaker keeps the order; what it has
        # handed in goes by way of the accountant.
        breaker.status().get(timeout=DURABLE_SECONDS)
        self._base.accountant.usage("").get(timeout=DURABLE_SECONDS)
        self._base.store.journal.settle(DURABLE_SECONDS)
        return breaker_report(self._base.store, name)
