"""A transition: record changes that become durable together, and what may leave afterwards."""

import hashlib

import msgspec

from maestro_storage.records import EventRecord, Record

_encode = msgspec.msgpack.Encoder().encode


def payload_digest(payload: bytes) -> bytes:
    """Return the name a payload is stored under: the SHA-256 of its bytes."""
    return hashlib.sha256(payload).digest()


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One record put under its key, or, without a body, one key deleted."""

    database: str
    key: bytes
    version: int = 0
    body: bytes | None = None
    """The record as msgpack, not yet sealed: the journal adds version and digest."""


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A line of a session's history; the journal gives it its sequence at the commit."""

    session_id: str
    kind: str
    at_ms: int
    task_id: str = ""
    data: dict[str, str | int | float | bool | None] = {}

    def numbered(self, sequence: int, epoch: int) -> EventRecord:
        """Return the record of this event at its place in the history."""
        return EventRecord(
            session_id=self.session_id,
            sequence=sequence,
            at_ms=self.at_ms,
            kind=self.kind,
            task_id=self.task_id,
            data=self.data,
            epoch=epoch,
        )


class Delivery(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message to an actor that leaves only after the transition is durable."""

    address: str
    message: bytes


class Payload(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Content stored once under its digest, kept as long as a session refers to it."""

    session_id: str
    content: bytes


class Release(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A session's reference to a payload, dropped; with the last one the payload goes."""

    session_id: str
    digest: bytes


class Transition(msgspec.Struct, array_like=True, gc=False):
    """What becomes durable in one commit, or not at all.

    A transition is plain data: it can travel inside a message from actor to actor, each adding
    the records it owns, until the last one hands it to the journal.
    """

    changes: list[Change] = []
    events: list[Event] = []
    # Tuples, since most transitions have few of these or none: an empty list is one more object
    # that the garbage collector looks at as long as the transition is under way.
    payloads: tuple[Payload, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    """Sent in this order once the commit has returned: the output gate."""
    releases: tuple[Release, ...] = ()

    def put(self, record: Record) -> None:
        """Write `record` under its key, over whatever stands there."""
        self.changes.append(Change(record.DATABASE, record.key, record.VERSION, _encode(record)))

    def delete(self, record: Record) -> None:
        """Remove the record with the key of `record`."""
        self.changes.append(Change(record.DATABASE, record.key))

    def payload(self, session_id: str, content: bytes) -> bytes:
        """Keep `content` for the session and return its digest."""
        self.payloads += (Payload(session_id, content),)
        return payload_digest(content)

    def release(self, session_id: str, digest: bytes) -> None:
        """Let go of a payload that no record of the session names any more."""
        self.releases += (Release(session_id, digest),)

    def event(self, event: Event) -> None:
        """Append a line to the session's history."""
        self.events.append(event)

    def join(self, other: "Transition") -> None:
        """Add all that another transition says, behind what this one does."""
        self.changes.extend(other.changes)
        self.events.extend(other.events)
        self.payloads += other.payloads
        self.deliveries += other.deliveries
        self.releases += other.releases

    def then(self, address: str, message: bytes) -> None:
        """Send `message` to the actor at `address` once this transition is durable."""
        self.deliveries += (Delivery(address, message),)
