"""The LMDB environment: how it is created, opened, read and closed.

It lives in `<state>/data` and is opened by one process only, the one that holds the ownership.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

import lmdb

from maestro_storage._seal import seal, unseal
from maestro_storage.errors import (
    OwnerFenced,
    RecordDamaged,
    StateDamaged,
    StateNotWritable,
    StateTooNew,
    StorageError,
    StoreClosed,
    StoreFailed,
    StoreFull,
)
from maestro_storage.records import RECORD_TYPES, SCHEMA_VERSION

DATA_NAME: Final = "data"
FILE_NAME: Final = "data.mdb"
MAP_BYTES_DEFAULT: Final = 64 << 30
"""Address space, not memory or disk; the quota bounds the file."""

READERS_MAX: Final = 512
META_VERSION: Final = 1
RECORD_DATABASES: Final = tuple(kind.DATABASE for kind in RECORD_TYPES)
DATABASES: Final = ("meta", *RECORD_DATABASES, "payloads", "references")

# Quoted: these types only exist in the stubs of lmdb.
Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Database: TypeAlias = "lmdb._Database"  # noqa: SLF001 - it has no public name
MetaKey = Literal["schema", "state_id", "epoch"]

_FULL_CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DAMAGE_ERRORS: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)
_DENIED_CODES: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def is_full(error: lmdb.Error | OSError) -> bool:
    """Whether there was no room: in the map, on the disk, in a quota or limit on file size."""
    return isinstance(error, lmdb.MapFullError) or _code(error) in _FULL_CODES


def storage_error(path: Path, error: lmdb.Error | OSError) -> StorageError:
    """Return the error of this package that says what `error` says."""
    if is_full(error):
        return StoreFull(str(path), str(error))
    if isinstance(error, _DAMAGE_ERRORS):
        return StateDamaged(str(path), str(error))
    if _code(error) in _DENIED_CODES:
        return StateNotWritable(str(path), str(error))
    return StoreFailed(str(path), str(error))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what LMDB or the file system raises inside as an error of this package."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        raise storage_error(path, error) from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create a private directory and what is missing above it, durably."""
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for directory in missing:
        sync_directory(directory.parent)


def discard(directory: Path) -> None:
    """Remove an environment that was never finished, if there is one."""
    if directory.exists():
        for file in directory.iterdir():
            file.unlink()
        directory.rmdir()


def exists(state_dir: Path) -> bool:
    """Whether the state directory holds an environment."""
    return (state_dir / DATA_NAME / FILE_NAME).exists()


def create(state_dir: Path, map_bytes: int) -> None:
    """Create an empty environment at epoch 0; all of it is there, durably, or none of it.

    Errors of LMDB and of the file system come as they are.
    """
    # LMDB writes its first pages without fsync, so it is built aside and renamed when durable.
    fresh = state_dir / (DATA_NAME + ".new")
    discard(fresh)
    with _open(fresh, map_bytes, read_only=False) as env, env.begin(write=True) as txn:
        for name in DATABASES:
            env.open_db(name.encode(), txn=txn)
        meta = env.open_db(b"meta", txn=txn)
        _put_meta(txn, meta, "schema", str(SCHEMA_VERSION))
        _put_meta(txn, meta, "state_id", secrets.token_hex(16))
        _put_meta(txn, meta, "epoch", "0")
    sync_directory(fresh)
    fresh.rename(state_dir / DATA_NAME)
    sync_directory(state_dir)


def keys_under(txn: Transaction, database: Database, prefix: bytes) -> Iterator[bytes]:
    """Yield the keys that begin with `prefix`, in order."""
    cursor = txn.cursor(db=database)
    # Checked, because an unplaced cursor iterates from the first key of all.
    if cursor.set_range(prefix):
        for key in cursor.iternext(values=False):
            if not key.startswith(prefix):
                return
            yield key


class Environment:
    """An open LMDB environment and its databases. Reads from any thread; see `Journal` for writes.

    Raises, on creation:
        StateTooNew: The state has a newer schema; nothing was written.
        StateDamaged: It has no schema that can be trusted, or a database of an unknown name.
        StateNotWritable, StoreFull, StoreFailed: LMDB could not open it.
    """

    def __init__(self, state_dir: Path, map_bytes: int, *, read_only: bool) -> None:
        self.path = state_dir
        self.map_bytes = map_bytes
        self.read_only = read_only
        self.closed_because = ""
        """Why the environment is unusable; empty while it is usable."""
        with translated(state_dir):
            self.env = _open(state_dir / DATA_NAME, map_bytes, read_only=read_only)
            with self._closing_on_error():
                _close_on_exec(state_dir / DATA_NAME / FILE_NAME)
                self.databases = self._open_databases()
                self._check_schema()
                if not read_only:
                    self.env.reader_check()

    def close(self) -> None:
        """Close LMDB; later uses raise StoreClosed. Everything committed is durable."""
        self.closed_because = self.closed_because or "it has been closed"
        self.env.close()

    def abandon(self) -> None:
        """Leave LMDB to the parent process; for a forked child."""
        self.closed_because = "this process is a fork of its owner"

    def check_usable(self) -> None:
        """Raise StoreClosed if the environment has been closed or belongs to a parent process."""
        if self.closed_because:
            raise StoreClosed(str(self.path), self.closed_because)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a read transaction; keep it short, it holds pages back from reuse."""
        self.check_usable()
        try:
            with self.env.begin() as txn:
                yield txn
        except lmdb.Error as error:
            self.check_usable()  # closed by another thread in the meantime
            raise storage_error(self.path, error) from error

    def meta(self, txn: Transaction, key: MetaKey) -> str:
        """Return a value of the meta database, verified."""
        database = self.databases.get("meta")
        sealed = None if database is None else txn.get(key.encode(), db=database)
        if sealed is None:
            raise StateDamaged(str(self.path), f"it has no {key}")
        try:
            _, body = unseal("meta", key.encode(), sealed, META_VERSION)
        except RecordDamaged as error:
            raise StateDamaged(str(self.path), str(error)) from error
        return body.decode()

    def begin_epoch(self) -> int:
        """Raise the owner epoch by one, durably, and return it."""
        self.check_usable()
        with self.env.begin(write=True) as txn:
            epoch = int(self.meta(txn, "epoch")) + 1
            _put_meta(txn, self.databases["meta"], "epoch", str(epoch))
        return epoch

    def commit_again(self) -> None:
        """Commit without a change, so that the state before the last transaction is the last, too.

        LMDB keeps both, and has no digest of the number by which it knows the later one: where that
        is damaged, or the disk has lost what it said it wrote, nothing is gone.

        Raises:
            lmdb.Error: As LMDB raised it.
        """
        with self.env.begin(write=True) as txn:
            _put_meta(txn, self.databases["meta"], "epoch", self.meta(txn, "epoch"))

    def check_epoch(self, txn: Transaction, own_epoch: int) -> None:
        """Raise OwnerFenced if the state is not at our epoch any more."""
        found = int(self.meta(txn, "epoch"))
        if found != own_epoch:
            raise OwnerFenced(own_epoch, found)

    def file_bytes(self) -> int:
        """Return how much of the data file has ever been in use; it shrinks only by `compact`."""
        self.check_usable()
        return (self.env.info()["last_pgno"] + 1) * self.env.stat()["psize"]

    def used_bytes(self) -> int:
        """Return how much the stored records occupy, in whole pages, free pages not counted."""
        with self.read() as txn:
            stats = [txn.stat(database) for database in self.databases.values()]
        return sum(
            (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
            for stat in stats
        )

    def _open_databases(self) -> dict[str, Database]:
        if self.read_only:
            # A state from before a kind of record existed has no database for it. But one flipped
            # bit in a name takes a whole database out of sight, and no digest covers the names.
            found = set(self.env.dbs())
            unknown = sorted(found.difference(name.encode() for name in DATABASES))
            if unknown:
                detail = f"it has a database of the unknown name {unknown[0]!r}"
                raise StateDamaged(str(self.path), detail)
            names = [name for name in DATABASES if name.encode() in found]
            opened = {name: self.env.open_db(name.encode(), create=False) for name in names}
            self._check_kinds(opened)
            return opened
        with self.env.begin(write=True) as txn:
            return {name: self.env.open_db(name.encode(), txn=txn) for name in DATABASES}

    def _check_kinds(self, databases: dict[str, Database]) -> None:
        """Refuse a database of another kind than ours: LMDB would search it for ever."""
        for name, database in databases.items():
            kinds = [kind for kind, is_so in database.flags().items() if is_so]
            if kinds:
                detail = f"its database {name!r} is of the unknown kind {kinds[0]!r}"
                raise StateDamaged(str(self.path), detail)

    def _check_schema(self) -> None:
        with self.env.begin() as txn:
            schema = int(self.meta(txn, "schema"))
        if schema > SCHEMA_VERSION:
            raise StateTooNew(str(self.path), schema, SCHEMA_VERSION)

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.env.close()
            raise


def _code(error: lmdb.Error | OSError) -> int | None:
    """Return the errno behind an error, if there is one."""
    # Errors that do not come from the engine itself, as after a close, have no code.
    return getattr(error, "code", None) if isinstance(error, lmdb.Error) else error.errno


def _open(data_dir: Path, map_bytes: int, *, read_only: bool) -> lmdb.Environment:
    """Open LMDB with the only settings that survive power loss with every acknowledged commit."""
    return lmdb.open(
        str(data_dir),
        map_size=map_bytes,
        mode=0o700,  # of the directory; LMDB drops the execute bits for its files
        create=not read_only,
        readonly=read_only,
        # Without its lock file LMDB writes nothing at all; the ownership keeps others out.
        lock=not read_only,
        max_readers=READERS_MAX,
        max_dbs=len(DATABASES) + 8,
        lib_version=0,
    )


def _put_meta(txn: Transaction, meta: Database, key: MetaKey, value: str) -> None:
    """Write one value of the meta database."""
    txn.put(key.encode(), seal("meta", key.encode(), META_VERSION, value.encode()), db=meta)


def _close_on_exec(data_file: Path) -> None:
    """Keep the data file from programs we start: LMDB opens it without O_CLOEXEC."""
    identity = data_file.stat()
    for descriptor in (int(entry.name) for entry in Path("/proc/self/fd").iterdir()):
        try:
            found = os.fstat(descriptor)
        except OSError:
            continue  # the descriptor that listed the directory is closed again
        if (found.st_dev, found.st_ino) == (identity.st_dev, identity.st_ino):
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
