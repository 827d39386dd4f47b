"""Reading the records of a state that another process has open: both ends."""

from typing import Final, Protocol, assert_never

import msgspec

from maestro_runtime.wire.errors import RequestInvalid
from maestro_storage.rows import Row, Rows

RECORDS_ADDRESS: Final = "urn:maestro:records"
"""Where a daemon reads stored rows for its clients."""

PIECE_BYTES_MAX: Final = 256 << 10
"""Keys and values in one answer; a value larger than this comes in pieces."""

PAGE_ROWS_MAX: Final = 1024


class ReadRow(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Ask for the value under a key, from byte `begin` on; answered by `Piece`."""

    database: str
    key: bytes
    begin: int = 0


class ReadPage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Ask for the first rows under `prefix` at or after `position`; answered by `Page`."""

    database: str
    prefix: bytes
    position: bytes
    limit: int


class CountRows(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Ask how many keys begin with `prefix`; answered by `Counted`."""

    database: str
    prefix: bytes


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a value."""

    size_bytes: int | None
    """Of the whole value; None if there is none."""
    data: bytes = b""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one snapshot, as many as fit into an answer."""

    rows: tuple[Row, ...]
    ends: bool
    """There is nothing after them."""
    large: bytes = b""
    """Key of the row after them, if its value alone does not fit; empty if there is none."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows there are."""

    count: int


_encode: Final = msgspec.msgpack.Encoder().encode
_message: Final = msgspec.msgpack.Decoder(ReadRow | ReadPage | CountRows).decode
_piece: Final = msgspec.msgpack.Decoder(Piece).decode
_page: Final = msgspec.msgpack.Decoder(Page).decode
_counted: Final = msgspec.msgpack.Decoder(Counted).decode


class RowReader:
    """Answers for the process that has the state open."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def answer(self, message: bytes) -> bytes:
        """Return the encoded answer to an encoded message.

        Raises:
            RequestInvalid: It is none of this module.
        """
        try:
            request: ReadRow | ReadPage | CountRows = _message(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestInvalid(RECORDS_ADDRESS, str(error)) from error
        match request:
            case ReadRow():
                return _encode(self._piece_of(request))
            case ReadPage():
                return _encode(self._page_of(request))
            case CountRows():
                return _encode(Counted(count=self._rows.count(request.database, request.prefix)))
            case _:
                assert_never(request)

    def _piece_of(self, request: ReadRow) -> Piece:
        value = self._rows.get(request.database, request.key) if request.key else None
        if value is None:
            return Piece(size_bytes=None)
        begin = max(0, request.begin)
        return Piece(size_bytes=len(value), data=value[begin : begin + PIECE_BYTES_MAX])

    def _page_of(self, request: ReadPage) -> Page:
        limit = max(1, min(request.limit, PAGE_ROWS_MAX))
        found = self._rows.page(request.database, request.prefix, request.position, limit)
        room = PIECE_BYTES_MAX
        rows: list[Row] = []
        for row in found:
            room -= len(row[0]) + len(row[1])
            if room < 0:
                break
            rows.append(row)
        return Page(
            rows=tuple(rows),
            ends=len(rows) == len(found) < limit,
            large=found[0][0] if found and not rows else b"",
        )


class Asking(Protocol):
    """Asks a daemon, and waits."""

    def ask(self, address: str, message: bytes) -> bytes:
        """Return the encoded reply to an encoded message."""


class LineRows:
    """The rows of the daemon at the other end of a line."""

    def __init__(self, line: Asking) -> None:
        self._line = line

    def get(self, database: str, key: bytes) -> bytes | None:
        """Return the value under a key; None if there is none."""
        value = bytearray()
        while True:
            request = ReadRow(database=database, key=key, begin=len(value))
            piece: Piece = _piece(self._line.ask(RECORDS_ADDRESS, _encode(request)))
            if piece.size_bytes is None:
                return None
            value += piece.data
            if not piece.data or len(value) >= piece.size_bytes:
                return bytes(value)

    def page(self, database: str, prefix: bytes, position: bytes, limit: int) -> list[Row]:
        """Return the first rows under `prefix` at or after `position`; several snapshots."""
        found: list[Row] = []
        while len(found) < limit:
            request = ReadPage(
                database=database, prefix=prefix, position=position, limit=limit - len(found)
            )
            page: Page = _page(self._line.ask(RECORDS_ADDRESS, _encode(request)))
            found += page.rows
            if page.ends:
                break
            if page.large:
                value = self.get(database, page.large)
                # None: deleted since.
                if value is not None:
                    found.append((page.large, value))
                position = page.large + b"\0"
            elif page.rows:
                position = page.rows[-1][0] + b"\0"
        return found

    def count(self, database: str, prefix: bytes) -> int:
        """Return how many keys begin with `prefix`."""
        request = CountRows(database=database, prefix=prefix)
        counted: Counted = _counted(self._line.ask(RECORDS_ADDRESS, _encode(request)))
        return counted.count
