"""The verbs of a runtime that change records which no actor keeps in memory, and breakers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from maestro_actors.circuit_breaker import BreakerProxy
from maestro_actors.kernel import ActorSystem
from maestro_runtime._openings import Openings
from maestro_runtime.breakers import BreakerReport, breaker_report, open_at_rest, reset_at_rest
from maestro_runtime.checkpoints import Imported, Pruned, import_bundle, prune
from maestro_runtime.proxies import Proxies
from maestro_runtime.receipts import answer_in, carried_out, receipt_of
from maestro_storage import Store
from maestro_storage.records import ValueRecord
from maestro_storage.transition import Transition

CHANGE_SECONDS: Final = 30.0
"""Longest wait for a change to become durable."""


class RecordVerbs(Proxies):
    """Checkpoints that go, sessions that come from elsewhere, values of programs, breakers."""

    store: Store
    system: ActorSystem
    _starting: Openings

    def prune(self, session_id: str) -> Pruned:
        """Drop the checkpoints of a session that nobody needs; durable on return.

        Raises as `maestro_runtime.checkpoints.prune`.
        """
        with self._starting:
            return prune(self.store, session_id, self.system.clock.now_ms())

    def import_bundle(
        self,
        path: Path,
        *,
        output_dir: Path | None = None,
        input_dir: Path | None = None,
        base_dir: Path | None = None,
        request_id: bytes = b"",
    ) -> Imported:
        """Make a session of an exported bundle, to be resumed; durable on return.

        Arguments and errors are those of `maestro_runtime.checkpoints.import_bundle`, and of
        `retry` for the id: with that of an import that was done, nothing is.
        """
        receipt = receipt_of(request_id, "import")
        with self._starting:
            if row := carried_out(self.store, receipt):
                return answer_in(row, Imported)
            return import_bundle(
                self.store,
                path,
                output_dir=output_dir,
                input_dir=input_dir,
                now_ms=self.system.clock.now_ms(),
                base_dir=base_dir,
                receipt=receipt,
            )

    def keep_values(self, values: Mapping[str, bytes | None]) -> None:
        """Write values of a program under their names, in one transition; durable on return.

        Args:
            values: As JSON, at most 512 KiB each; None deletes. A name has 1 to 120 bytes.

        Raises:
            KeyTooLong, RecordTooLarge: One can never be stored; none was.
            StorageError: They could not be written.
        """
        draft = Transition()
        now_ms = self.system.clock.now_ms()
        for name, value in values.items():
            record = ValueRecord(
                name=name, value=value or b"", updated_ms=now_ms, epoch=self.store.epoch
            )
            if value is None:
                draft.delete(record)
            else:
                draft.put(record)
        self.store.journal.commit(draft).result(CHANGE_SECONDS)

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
        with self._starting:
            breaker = self._live_breaker(name)
            if breaker is None:
                return open_at_rest(self.store, name, by)
            breaker.trip(by)
            return self._moved(breaker, name)

    def close_breaker(self, name: str, *, by: str = "") -> BreakerReport:
        """Close a breaker and forget its failures; calls that wait ask again.

        Otherwise as `open_breaker`.
        """
        with self._starting:
            breaker = self._live_breaker(name)
            if breaker is None:
                return reset_at_rest(self.store, name, by)
            breaker.reset(by)
            return self._moved(breaker, name)

    def _live_breaker(self, name: str) -> BreakerProxy | None:
        breaker = self.breaker(name)
        return None if self.system.ref(breaker.address) is None else breaker

    def _moved(self, breaker: BreakerProxy, name: str) -> BreakerReport:
        # Answered after the order was handled, because the breaker keeps the order; what it has
        # handed in goes by way of the accountant.
        breaker.status().get(timeout=CHANGE_SECONDS)
        self.accountant.usage("").get(timeout=CHANGE_SECONDS)
        self.store.journal.settle(CHANGE_SECONDS)
        return breaker_report(self.store, name)
