"""The read side of a state directory: what every command that only looks needs."""

import contextlib
import time
from pathlib import Path
from typing import Self, TypeVar

import lmdb
import msgspec

from maestro_storage import _backup
from maestro_storage._environment import MAP_BYTES_DEFAULT, Environment, translated
from maestro_storage._ownership import owned_state
from maestro_storage._payloads import Payloads
from maestro_storage._repository import Repository
from maestro_storage._scan import scan
from maestro_storage._seal import SESSIONLESS
from maestro_storage._verify import VerifyReport, examine, quarantined_by
from maestro_storage.errors import NotFound
from maestro_storage.records import (
    SCHEMA_VERSION,
    AlertRecord,
    AttemptRecord,
    BreakerRecord,
    BudgetRecord,
    CallRecord,
    CheckpointRecord,
    CounterRecord,
    EventRecord,
    OutboxRecord,
    Record,
    RequestRecord,
    SessionRecord,
    TaskRecord,
    UsageRecord,
    ValueRecord,
)
from maestro_storage.rows import EnvironmentRows, Rows

R = TypeVar("R", bound=Record)


class StoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a state directory."""

    path: str
    state_id: str
    schema: int
    epoch: int
    used_bytes: int
    """Occupied by stored records, in whole pages."""
    file_bytes: int
    """Of the data file that have ever been in use; the rest of the file is free pages."""
    map_bytes: int
    quota_bytes: int | None
    """None for a state that is only looked at."""
    counts: dict[str, int]
    """Values by database."""
    degraded: str
    """Why the store is short of room; empty if it is not."""
    quarantined: dict[str, tuple[str, ...]]
    lmdb_version: str
    lmdb_patched: bool
    """Whether LMDB is the hardened build that comes with its Python package."""


class Records:
    """What is on record in a state, verified as it is read: repositories by kind, payloads.

    Attributes:
        rows: What is read.
        epoch: Of the owner, the last one if there is none.
        quarantined: Sessions with damaged records, and what is damaged in each.
    """

    def __init__(self, rows: Rows, *, epoch: int, quarantined: dict[str, tuple[str, ...]]) -> None:
        self.rows = rows
        self.epoch = epoch
        self.quarantined = quarantined
        self.sessions = self._repository(SessionRecord)
        self.tasks = self._repository(TaskRecord)
        self.attempts = self._repository(AttemptRecord)
        self.calls = self._repository(CallRecord)
        self.budgets = self._repository(BudgetRecord)
        self.counters = self._repository(CounterRecord)
        self.alerts = self._repository(AlertRecord)
        self.usage = self._repository(UsageRecord)
        self.breakers = self._repository(BreakerRecord)
        self.events = self._repository(EventRecord)
        self.checkpoints = self._repository(CheckpointRecord)
        self.outbox = self._repository(OutboxRecord)
        self.values = self._repository(ValueRecord)
        self.requests = self._repository(RequestRecord)
        self.payloads = Payloads(rows)

    def require_session(self, session_id: str) -> SessionRecord:
        """Return a session's record.

        Raises:
            NotFound: There is no such session.
            SessionQuarantined: It has damaged records.
        """
        record = self.sessions.get(session_id)
        if record is None:
            raise NotFound("session", session_id)
        return record

    def _repository(self, kind: type[R]) -> Repository[R]:
        quarantined = {} if kind.DATABASE in SESSIONLESS else self.quarantined
        return Repository(self.rows, kind, quarantined)


class StateView(Records):
    """A verified state directory that this process has open. Any thread.

    Attributes:
        path: The state directory.
        state_id: 32 hex digits, drawn when the state was created; a backup has the same.
    """

    def __init__(
        self,
        environment: Environment,
        quarantined: dict[str, tuple[str, ...]],
        resources: contextlib.ExitStack,
    ) -> None:
        """Used by `Store.open` and `Store.inspect`; `resources` is closed with the view."""
        with environment.read() as txn:
            self.state_id = environment.meta(txn, "state_id")
            epoch = int(environment.meta(txn, "epoch"))
        super().__init__(EnvironmentRows(environment), epoch=epoch, quarantined=quarantined)
        self._environment = environment
        self._resources = resources
        self.path = environment.path

    @property
    def degraded(self) -> str:
        """Why the store is short of room; empty if it is not."""
        return ""

    @property
    def quota_bytes(self) -> int | None:
        """Size at which no new session is admitted; None if none ever is."""
        return None

    def info(self) -> StoreInfo:
        """Return figures as of now."""
        environment = self._environment
        file_bytes, used_bytes = environment.file_bytes(), environment.used_bytes()
        with environment.read() as txn:
            counts = {
                name: txn.stat(database)["entries"]
                for name, database in environment.databases.items()
            }
        version = lmdb.version(subpatch=True)
        return StoreInfo(
            path=str(self.path),
            state_id=self.state_id,
            schema=SCHEMA_VERSION,
            epoch=self.epoch,
            used_bytes=used_bytes,
            file_bytes=file_bytes,
            map_bytes=environment.map_bytes,
            quota_bytes=self.quota_bytes,
            counts=counts,
            degraded=self.degraded,
            quarantined=dict(self.quarantined),
            lmdb_version=".".join(map(str, version[:3])),
            lmdb_patched=bool(version[3]),
        )

    def reader_slots(self) -> tuple[int, int]:
        """Return how many reader slots are taken, and how many there are."""
        self._environment.check_usable()
        info = self._environment.env.info()
        return info["num_readers"], info["max_readers"]

    def verify(self) -> VerifyReport:
        """Check every value of one snapshot against its digest; writers go on.

        The structure of the data file was checked when it was opened; it changes with each commit.

        Raises:
            RecordTooNew: A newer version wrote one of them.
            StateDamaged, StoreFailed: They could not be read.
        """
        started = time.monotonic()
        records, damaged = scan(self._environment)
        return VerifyReport(
            path=str(self.path),
            seconds=time.monotonic() - started,
            file_bytes=self._environment.file_bytes(),
            records=records,
            damaged=tuple(damaged),
            structure=(),
        )

    def backup(self, destination: str | Path) -> None:
        """Write a compact, verified copy of the state; durable on return. Writers go on.

        Args:
            destination: Becomes a state directory; missing, or an empty directory.

        Raises:
            BackupTargetNotEmpty: There is something in it, which is left alone.
            StateDamaged: The copy is not sound; nothing is left of it.
            StateNotWritable, StoreFull, StoreFailed: It could not be written.
        """
        _backup.backup(self._environment, Path(destination), self.quarantined)

    def close(self) -> None:
        """Give the state directory up. A second call does nothing."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def inspect(path: str | Path, *, map_bytes: int = MAP_BYTES_DEFAULT) -> StateView:
    """Open a state directory to look at it; see `Store.inspect`."""
    state_dir = Path(path)
    with translated(state_dir), contextlib.ExitStack() as resources:
        resources.enter_context(owned_state(state_dir))
        quarantined = quarantined_by(examine(state_dir, map_bytes))
        environment = Environment(state_dir, map_bytes, read_only=True)
        resources.enter_context(contextlib.closing(environment))
        return StateView(environment, quarantined, resources.pop_all())
