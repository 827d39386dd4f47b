"""The records that survive, one class per kind, each with its key.

Stored as msgpack arrays in the order of the fields, behind a schema version and a digest (see
`_seal.py`). A stored class only ever gains fields at its end, with defaults; then records written
by every released version keep decoding. `VERSION` grows when the meaning of a field changes.

Instants are wall-clock milliseconds since the epoch, durations milliseconds, digests raw bytes.
"""

from typing import Final

from maestro_storage.records._ledger import (
    AlertRecord,
    BudgetRecord,
    CallRecord,
    CallState,
    CounterRecord,
    UsageRecord,
)
from maestro_storage.records._record import (
    KEY_BYTES_MAX,
    NAME_BYTES_MAX,
    Record,
    key_of,
)
from maestro_storage.records._session import (
    SESSION_FINAL,
    TASK_FINAL,
    TASK_PASSED,
    AttemptRecord,
    AttemptState,
    CheckpointRecord,
    EventRecord,
    OutboxRecord,
    OutboxState,
    SessionRecord,
    SessionState,
    TaskEnd,
    TaskRecord,
    TaskState,
    WaitsFor,
    Wish,
)
from maestro_storage.records._shared import (
    BreakerRecord,
    BreakerState,
    RequestRecord,
    ValueRecord,
)

SCHEMA_VERSION: Final = 1
"""Of the state directory as a whole; a directory with a newer one is refused untouched."""

RECORD_TYPES: Final[tuple[type[Record], ...]] = (
    SessionRecord,
    TaskRecord,
    AttemptRecord,
    CallRecord,
    BudgetRecord,
    CounterRecord,
    AlertRecord,
    UsageRecord,
    BreakerRecord,
    EventRecord,
    CheckpointRecord,
    OutboxRecord,
    ValueRecord,
    RequestRecord,
)
"""Every kind of record. A new kind is added here and nowhere else in the storage."""

__all__ = [
    "KEY_BYTES_MAX",
    "NAME_BYTES_MAX",
    "RECORD_TYPES",
    "SCHEMA_VERSION",
    "SESSION_FINAL",
    "TASK_FINAL",
    "TASK_PASSED",
    "AlertRecord",
    "AttemptRecord",
    "AttemptState",
    "BreakerRecord",
    "BreakerState",
    "BudgetRecord",
    "CallRecord",
    "CallState",
    "CheckpointRecord",
    "CounterRecord",
    "EventRecord",
    "OutboxRecord",
    "OutboxState",
    "Record",
    "RequestRecord",
    "SessionRecord",
    "SessionState",
    "TaskEnd",
    "TaskRecord",
    "TaskState",
    "UsageRecord",
    "ValueRecord",
    "WaitsFor",
    "Wish",
    "key_of",
]
