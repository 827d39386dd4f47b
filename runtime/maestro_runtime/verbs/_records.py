"""The verbs of a runtime that change records which no actor keeps in memory."""

from collections.abc import Mapping

from maestro_runtime.checkpoints import Imported, ImportOrder, Pruned, import_bundle, prune
from maestro_runtime.receipts import answer_in, carried_out, receipt_of
from maestro_runtime.verbs._foundation import DURABLE_SECONDS, Foundation
from maestro_storage.records import ValueRecord
from maestro_storage.transition import Transition


class RecordVerbs:
    """Checkpoints that go, sessions that come from elsewhere, values of programs."""

    def __init__(self, base: Foundation) -> None:
        self._base = base

    def prune(self, session_id: str) -> Pruned:
        """Drop the checkpoints of a session that nobody needs; durable on return.

        Raises as `maestro_runtime.checkpoints.prune`.
        """
        with self._base.starting:
            return prune(self._base.store, session_id, self._base.now_ms())

    def import_bundle(self, order: ImportOrder, *, request_id: bytes = b"") -> Imported:
        """Make a session of an exported bundle, to be resumed; durable on return.

        Raises as `maestro_runtime.checkpoints.import_bundle`, and as `retry` for the id: with that
        of an import that was done, nothing is.
        """
        receipt = receipt_of(request_id, "import")
        with self._base.starting:
            if row := carried_out(self._base.store, receipt):
                return answer_in(row, Imported)
            return import_bundle(self._base.store, order, self._base.now_ms(), receipt=receipt)

    def keep_values(self, values: Mapping[str, bytes | None]) -> None:
        """Write values of a program under their names, in one transition; durable on return.

        Args:
            values: As JSON, at most 512 KiB each; None deletes. A name has 1 to 120 bytes.

        Raises:
            KeyTooLong, RecordTooLarge: One can never be stored; none was.
            StorageError: They could not be written.
        """
        draft = Transition()
        now_ms = self._base.now_ms()
        for name, value in values.items():
            record = ValueRecord(
                name=name, value=value or b"", updated_ms=now_ms, epoch=self._base.store.epoch
            )
            if value is None:
                draft.delete(record)
            else:
                draft.put(record)
        self._base.store.journal.commit(draft).result(DURABLE_SECONDS)
