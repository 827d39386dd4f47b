"""The scan: every stored value against its digest, every link against what it links to."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

import msgspec

from maestro_storage._environment import META_VERSION, Environment, Transaction, keys_under
from maestro_storage._payloads import (
    DIGEST_BYTES,
    PAYLOAD_VERSION,
    REFERENCE_VERSION,
    by_digest,
    by_session,
)
from maestro_storage._repository import Decoder
from maestro_storage._seal import HEADER_BYTES, SESSIONLESS, VERSION_BYTES, session_of, unseal
from maestro_storage.errors import RecordDamaged
from maestro_storage.records import RECORD_TYPES, EventRecord, Record

SEQUENCE_BYTES: Final = 8


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """One record that cannot be trusted, or is missing."""

    database: str
    key_hex: str
    detail: str
    session_ids: tuple[str, ...] = ()
    """Sessions that need the record; empty if it belongs to none."""

    def __str__(self) -> str:
        return f"record {self.key_hex} in {self.database}: {self.detail}"


def scan(environment: Environment) -> tuple[dict[str, int], list[Damage]]:
    """Verify everything; return how many values each database has, and the damaged ones.

    Damage belongs to the sessions that its key, its body or a reference names, if they have other,
    sound records; a name that occurs nowhere else may itself be the damage.

    Raises:
        RecordTooNew: A newer version wrote one of the values.
        StateDamaged, StoreFailed: LMDB could not read them.
    """
    with environment.read() as txn:
        work = _Scan(environment, txn)
        for kind in RECORD_TYPES:
            work.check_records(kind)
        work.check_sequences()
        work.check_values("meta", META_VERSION)
        work.check_values("payloads", PAYLOAD_VERSION)
        work.check_values("references", REFERENCE_VERSION)
        work.check_references()
    return work.counts, work.damages()


class _Scan:
    """One pass over all databases in one snapshot."""

    def __init__(self, environment: Environment, txn: Transaction) -> None:
        self._databases = environment.databases
        self._txn = txn
        self._sound: set[str] = set()
        """Sessions with at least one sound record."""
        self._found: list[tuple[Damage, set[str]]] = []
        """Damage, and the sessions it may belong to."""
        self.counts: dict[str, int] = {}

    def damages(self) -> list[Damage]:
        """Return what was found, with the sessions it belongs to."""
        return [
            # Counters that belong to no session have an empty one in their key.
            msgspec.structs.replace(
                damage, session_ids=tuple(sorted((claimants & self._sound) - {""}))
            )
            for damage, claimants in self._found
        ]

    def check_records(self, kind: type[Record]) -> None:
        """Verify and decode all records of a kind."""
        database, decode = kind.DATABASE, Decoder(kind).decode
        session_key = b"\0"
        for key, body in self._bodies(database, kind.VERSION):
            try:
                decode(key, body)
            except RecordDamaged as error:
                self._report(database, key, error.detail, self._claimants(database, key, body))
                continue
            # The records of a session follow each other.
            if not key.startswith(session_key) and database not in SESSIONLESS:
                session_key = key[: key.find(b"\0") + 1] or key
                self._sound.add(session_of(database, key))

    def check_sequences(self) -> None:
        """Check that the history of every session counts from 1 without a gap."""
        database = EventRecord.DATABASE
        if database not in self._databases:
            return
        history, last = b"", 0
        for key in keys_under(self._txn, self._databases[database], b""):
            session, sequence = key[:-SEQUENCE_BYTES], int.from_bytes(key[-SEQUENCE_BYTES:], "big")
            last = last if session == history else 0
            if sequence != last + 1:
                detail = f"event {last + 1} is missing before it"
                self._report(database, key, detail, {session_of(database, key)})
            history, last = session, sequence

    def check_values(self, database: str, version: int) -> None:
        """Verify all values of a database that holds no records."""
        for _ in self._bodies(database, version):
            pass

    def check_references(self) -> None:
        """Check that references come in pairs and that what they refer to is there."""
        if "references" not in self._databases:
            return
        references = self._databases["references"]
        twins = self._txn.cursor(db=references)
        payloads = self._txn.cursor(db=self._databases["payloads"])
        for key in keys_under(self._txn, references, b""):
            session_id, digest = _reference(key)
            if key == by_session(session_id, digest):
                if twins.set_key(by_digest(digest, session_id)):
                    continue  # and that one shows whether the payload is there
                self._report("references", key, "its counterpart is missing", {session_id})
            elif not twins.set_key(by_session(session_id, digest)):
                self._report("references", key, "its counterpart is missing", {session_id})
            if not payloads.set_key(digest):
                self._report("payloads", digest, "it is missing", {session_id})

    def _bodies(self, database: str, known_version: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and body of what a database holds, as far as it is sealed; count all of it."""
        count = 0
        if database in self._databases:
            prefix, latest = database.encode() + b"\0", known_version.to_bytes(VERSION_BYTES, "big")
            for key, sealed in self._txn.cursor(db=self._databases[database]):
                count += 1
                # As `unseal`, which is called for what is not as it must be: there are millions.
                versioned = sealed[DIGEST_BYTES:]
                digest = sha256(prefix + key + versioned).digest()
                if digest == sealed[:DIGEST_BYTES] and versioned[:VERSION_BYTES] <= latest:
                    yield key, versioned[VERSION_BYTES:]
                    continue
                try:
                    unseal(database, key, sealed, known_version)
                except RecordDamaged as error:
                    body = sealed[HEADER_BYTES:]
                    self._report(database, key, error.detail, self._claimants(database, key, body))
        self.counts[database] = count

    def _claimants(self, database: str, key: bytes, body: bytes) -> set[str]:
        """Return the sessions that a damaged value may belong to."""
        if database == "references":
            return {_reference(key)[0]}
        if database == "payloads":
            references = self._databases["references"]
            return {_reference(row)[0] for row in keys_under(self._txn, references, by_digest(key))}
        if database in SESSIONLESS:
            return set()
        return {session_of(database, key), _session_in(body)}

    def _report(self, database: str, key: bytes, detail: str, claimants: set[str]) -> None:
        damage = Damage(database=database, key_hex=key.hex(), detail=detail)
        self._found.append((damage, claimants))


def _reference(key: bytes) -> tuple[str, bytes]:
    """Return session and digest of a row in `references`."""
    if key.startswith(b"d"):
        return key[1 + DIGEST_BYTES :].decode(errors="replace"), key[1 : 1 + DIGEST_BYTES]
    return key[1 : -DIGEST_BYTES - 1].decode(errors="replace"), key[-DIGEST_BYTES:]


def _session_in(body: bytes) -> str:
    """Return the session a damaged record names in its body, if that can still be read.

    When the key is what was damaged, this is the session that misses the record.
    """
    try:
        fields = msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    # `session_id` is the first field of every record that belongs to a session.
    return fields[0] if isinstance(fields, list) and fields and isinstance(fields[0], str) else ""
