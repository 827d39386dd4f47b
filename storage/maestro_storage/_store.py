"""The store: a state directory that is owned, verified, and written by this process."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from maestro_storage import _view
from maestro_storage._ballast import Ballast
from maestro_storage._environment import (
    DATA_NAME,
    MAP_BYTES_DEFAULT,
    Environment,
    create,
    exists,
    sync_directory,
    translated,
)
from maestro_storage._fork import guard
from maestro_storage._journal import Journal
from maestro_storage._ownership import Ownership
from maestro_storage._ports import StorePorts
from maestro_storage._retention import RetentionPolicy, expired, size_bytes
from maestro_storage._tidying import Tidying, is_due
from maestro_storage._verify import examine, quarantined_by
from maestro_storage._view import StateView
from maestro_storage._watch import Watch
from maestro_storage.errors import QuotaExceeded
from maestro_storage.records import SESSION_FINAL, Record


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and limits of a store."""

    map_bytes: int = MAP_BYTES_DEFAULT
    """Address space for the data file; smaller only where address space is limited."""
    quota_bytes: int = 8 << 30
    """Size of the stored records at which no new session is admitted."""
    ballast_bytes: int = 4 << 20
    """Disk space kept aside for a full disk."""
    retention: RetentionPolicy = RetentionPolicy()


if TYPE_CHECKING:
    from concurrent.futures import Future

HOUR_MS: Final = 60 * 60 * 1000

_DEFAULT_OPTIONS: Final = StoreOptions()
_DEFAULT_PORTS: Final = StorePorts()


class Store(StateView):
    """An open state directory. One process, any thread; unusable in a forked child.

    Attributes:
        journal: Where transitions are handed in.
    """

    def __init__(
        self,
        environment: Environment,
        quarantined: dict[str, tuple[str, ...]],
        resources: contextlib.ExitStack,
        *,
        ownership: Ownership,
        journal: Journal,
        options: StoreOptions,
    ) -> None:
        """Used by `Store.open`."""
        super().__init__(environment, quarantined, resources)
        self.journal = journal
        self._ownership = ownership
        self._options = options
        self._tidying: Tidying | None = None
        """The last step; it may still be under way."""

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        options: StoreOptions = _DEFAULT_OPTIONS,
        ports: StorePorts = _DEFAULT_PORTS,
    ) -> Self:
        """Own, verify and open a state directory; create it if it is missing.

        Every stored value is read and checked, the owner epoch is raised by one durably, and what
        the retention policy does not keep is deleted.

        Raises:
            NetworkFileSystem, StateNotWritable, StateOwned: See `Ownership`.
            StateTooNew, RecordTooNew: A newer version wrote it; its data is untouched.
            StateDamaged: Damage that belongs to no session; the data is untouched.
            StoreFull, StoreFailed: It could not be read or written.
        """
        state_dir = Path(path)
        with translated(state_dir), contextlib.ExitStack() as resources:
            ownership = resources.enter_context(contextlib.closing(Ownership(state_dir)))
            if not exists(state_dir):
                create(state_dir, options.map_bytes)
            quarantined = quarantined_by(examine(state_dir, options.map_bytes))
            environment = Environment(state_dir, options.map_bytes, read_only=False)
            resources.enter_context(contextlib.closing(environment))
            # The last start may have died between creating these and making them durable.
            sync_directory(state_dir / DATA_NAME)
            sync_directory(state_dir)
            ballast = Ballast(state_dir, options.ballast_bytes, ports.on_degraded)
            ballast.restore()
            epoch = ballast.spend_if_full(environment.begin_epoch)
            journal = Journal(environment, ballast, epoch, ports)
            resources.enter_context(contextlib.closing(journal))
            guard(ownership)
            guard(environment)
            store = cls(
                environment,
                quarantined,
                resources.pop_all(),
                ownership=ownership,
                journal=journal,
                options=options,
            )
        guard(store)
        try:
            store.retain(ports.now_ms())
            store.tidy_all(ports.now_ms())
        except BaseException:
            store.close()
            raise
        return store

    @staticmethod
    def exists(path: str | Path) -> bool:
        """Whether a state can be seen in a directory, sound or not; nothing is opened."""
        try:
            return exists(Path(path))
        except OSError:
            return False

    @staticmethod
    def inspect(path: str | Path, *, map_bytes: int = MAP_BYTES_DEFAULT) -> StateView:
        """Open a state directory to look at it: owned and verified, but nothing is written.

        Raises:
            NotFound: There is no state in `path`; nothing was created.
            NetworkFileSystem, StateNotWritable, StateOwned: See `Ownership`.
            StateTooNew, RecordTooNew: A newer version wrote it.
            StateDamaged: Damage that belongs to no session.
        """
        return _view.inspect(path, map_bytes=map_bytes)

    def stay_silent(self) -> None:
        """Tell whoever finds the state owned that its owner stays and does not listen.

        Until then he thinks that it may be on its way, and waits for it.

        Raises:
            StateNotWritable: The lock file cannot be written.
        """
        self._ownership.stay_silent()

    @property
    def degraded(self) -> str:
        """Why the store is short of room; empty if it is not."""
        return self.journal.ballast.missing_because

    @property
    def quota_bytes(self) -> int:
        """Size at which no new session is admitted."""
        return self._options.quota_bytes

    def check_room(self) -> None:
        """Refuse a new session if the quota is used up; take the ballast again if there is room.

        Raises:
            QuotaExceeded: The stored records have reached the quota.
        """
        # To add up all databases takes ten times as long as to look at the file, which is larger.
        if self._environment.file_bytes() >= self.quota_bytes:
            used_bytes = self._environment.used_bytes()
            if used_bytes >= self.quota_bytes:
                raise QuotaExceeded(str(self.path), used_bytes, self.quota_bytes)
        if self.degraded:
            self.journal.ballast.restore()

    def expired(self, now_ms: int) -> list[str]:
        """Return the finished sessions that the retention policy does not keep, oldest first.

        Sessions that are quarantined or still have something to send are kept.
        """
        policy = self._options.retention
        sending = {row.session_id for row in self.outbox.scan() if row.state != "done"}
        finished = [
            record
            for record in self.sessions.scan()
            if record.state in SESSION_FINAL and record.session_id not in sending
        ]
        sizes_bytes: dict[str, int] = {}
        # Adding up sizes reads every record; below the limit the sum cannot matter.
        if self._environment.used_bytes() > policy.bytes_max:
            for record in finished:
                with self._environment.read() as txn:
                    databases = self._environment.databases
                    sizes_bytes[record.session_id] = size_bytes(txn, databases, record.session_id)
        return expired(finished, sizes_bytes, policy, now_ms)

    def drop(self, session_ids: Iterable[str]) -> list[str]:
        """Delete those of some sessions that are final by then; durable on return.

        Returns:
            The sessions deleted, in the order given.

        Raises:
            StorageError: As `Journal.remove`.
        """
        removals = [(session_id, self.journal.remove(session_id)) for session_id in session_ids]
        for _, future in removals:
            future.result()
        return [session_id for session_id, _ in removals if self.sessions.get(session_id) is None]

    def retain(self, now_ms: int) -> list[str]:
        """Delete what is `expired`, as `drop` does; return the sessions deleted, oldest first."""
        return self.drop(self.expired(now_ms))

    def tidy(self, now_ms: int) -> "Future[None] | None":
        """Begin to add up or delete what has got old, unless that was done in this hour.

        One step of bounded size, which does not wait: call it now and then, from any thread. The
        sums over the history of usage stay what they were, but for what is too old to be kept.

        Returns:
            The future of the step, resolved once it is durable; None if there is nothing to do.

        Raises:
            StorageError: As `Journal.append`.
        """
        last = self._tidying
        since_ms = 0
        if last is not None:
            if last.rows is None or (last.is_last and now_ms - last.now_ms < HOUR_MS):
                return None
            since_ms = last.until_ms if last.is_last else last.reached_ms
        work = self._tidying = Tidying(self._options.retention, now_ms, since_ms)
        with self._environment.read() as txn:
            if not is_due(txn, self._environment.databases, work):
                work.rows = 0
                return None
        return self.journal.tidy(work)

    def tidy_all(self, now_ms: int) -> None:
        """Take steps until nothing old is left; durable on return. Raises as `tidy`."""
        while (step := self.tidy(now_ms)) is not None:
            step.result()

    def watch(self, *kinds: type[Record]) -> Watch:
        """Return what follows the records of some kinds until the store is closed.

        Those of quarantined sessions are left out.
        """
        watch = Watch(self._environment, kinds, self.quarantined)
        self.journal.add_watch(watch)
        return watch

    def take_leave(self) -> None:
        """Tell whoever finds the state owned that its owner is about to go: he may wait for that.

        Nothing else changes. `close` says so, too.
        """
        self._ownership.take_leave()

    def close(self) -> None:
        """Refuse new work, write what is queued, close LMDB, release the lock last.

        Everything handed in before is durable on return, unless the journal has failed. A second
        call does nothing. Not from a port.
        """
        self.take_leave()
        super().close()

    def abandon(self) -> None:
        """Leave everything to the parent process; for a forked child."""
        self._resources.pop_all()
