"""The structure of a data file, read as bytes: a quick look that knows a sound one.

`lmdb.verify` has the verdict on every file, but takes three times as long. Whatever is not exactly
what LMDB 0.9 writes for databases of single values, such as ours, is left to it.
"""

import os
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

META_PAGES: Final = 2
PAGE_BYTES: Final = frozenset({4096, 8192, 16384, 32768})
DEPTH_MAX: Final = 32
MAGIC: Final = 0xBEEFC0DE
FORMAT: Final = 1
NO_PAGE: Final = (1 << 64) - 1

BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
"""Kinds of pages."""

BIG, TREE = 1, 2
"""Kinds of values that are not within their node: on pages of their own, and named databases."""

INTEGER_KEYS: Final = 8

# All is little-endian: a file of another machine has no MAGIC here, and is left to lmdb.verify.
_HEADER: Final = Struct("<Q2xHHH")
"""Of a page: number, kind, end of the offsets, begin of the nodes."""
_BIG_HEADER: Final = Struct("<Q2xHI")
"""Of the first page of a value: number, kind, count of pages."""
_META: Final = Struct("<Q2xH4xII8xQ48s48sQQ")
"""Number, kind, magic, format, bytes of the map, free tree, main tree, last page, transaction."""
_NODE: Final = Struct("<IHH")
"""Bytes of the value, kind of it, bytes of the key; in a branch, the first two are the child."""
_TREE: Final = Struct("<IHHQQQQQ")
_NUMBER: Final = Struct("<Q")


class _NotPlain(Exception):
    """Something is damaged, or of a kind that our databases do not have."""


class _Tree(NamedTuple):
    """A tree as its record describes it."""

    page_bytes: int
    """Of the file, in the record of the free tree; 0 in the others."""
    flags: int
    depth: int
    branches: int
    leaves: int
    overflows: int
    entries: int
    root: int


class _Meta(NamedTuple):
    """What a meta page says."""

    free: _Tree
    main: _Tree
    map_bytes: int
    last_page: int
    transaction: int


class _Found:
    """What a walk has counted in a tree."""

    def __init__(self) -> None:
        self.depth = self.branches = self.leaves = self.overflows = self.entries = 0

    def matches(self, tree: _Tree) -> bool:
        """Whether the record of the tree says the same."""
        counts = (self.depth, self.branches, self.leaves, self.overflows, self.entries)
        return counts == tree[2:7]


def is_sound(data_file: Path) -> bool:
    """Whether LMDB can be let loose on a file: every page reached once, all of them accounted for.

    False decides nothing. Raises OSError if the file cannot be read.
    """
    with data_file.open("rb", buffering=0) as file:
        try:
            _File(file.fileno()).check()
        except (_NotPlain, struct.error):
            return False
    return True


def number_problems(data_file: Path) -> list[str]:
    """Return what is wrong with the numbers of the last two transactions of a sound file.

    By them LMDB knows the last state, and there is no digest of them. One changed bit is found but
    for one: the last number with the second lowest bit taken away is what a commit leaves that has
    failed at its very last write. See `Environment.commit_again` for that.

    Raises OSError if the file cannot be read.
    """
    with data_file.open("rb", buffering=0) as file:
        try:
            return _File(file.fileno()).number_problems()
        except (_NotPlain, struct.error):
            return []


class _File:
    """One walk over all pages."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        first = self._meta(0, 0)
        self._page_bytes = first.free.page_bytes
        second = self._meta(1, self._page_bytes)
        if self._page_bytes not in PAGE_BYTES or second.free.page_bytes != self._page_bytes:
            raise _NotPlain
        # Transaction n is written to meta page n & 1.
        if first.transaction & 1 or (second.transaction and not second.transaction & 1):
            raise _NotPlain
        before, self._last = sorted((first, second), key=lambda meta: meta.transaction)
        self._gap = self._last.transaction - before.transaction
        self._page_count = self._last.last_page + 1
        if not META_PAGES <= self._page_count <= self._last.map_bytes // self._page_bytes:
            raise _NotPlain
        self._seen = bytearray(self._page_count)
        """1 for each page that is reached, or free."""
        self._found = _Found()

    def check(self) -> None:
        """Raise _NotPlain unless everything is as it must be."""
        self._check_tree(self._last.free, self._check_free)
        named: list[bytes] = []
        self._check_tree(self._last.main, partial(self._check_leaf, named=named))
        for record in named:
            tree = _Tree(*_TREE.unpack(record))
            if tree.flags or tree.page_bytes:
                raise _NotPlain
            self._check_tree(tree, self._check_leaf)
        if self._seen.count(1) != self._page_count - META_PAGES:
            raise _NotPlain  # some page is lost

    def number_problems(self) -> list[str]:
        """See the function of this name."""
        number = self._last.transaction
        if number and self._gap != 1:
            return [
                f"the last transactions are {number - self._gap} and {number}: some are missing"
            ]
        # Each but the first changes pages, and so frees the old ones under its own number.
        freed_by = self._last_freed(self._last.free.root)
        if number > 1 and freed_by != number:
            return [f"the last transaction is {number}, but its pages are those of {freed_by}"]
        return []

    def _last_freed(self, number: int) -> int:
        """Return the transaction that is last in the free tree, 1 if there is none."""
        while number != NO_PAGE:
            page = self._read(number, self._page_bytes)
            node = _offsets(page)[0][-1]
            if _HEADER.unpack_from(page)[1] == LEAF:
                return int(_NUMBER.unpack_from(page, node + _NODE.size)[0])
            low, high, _ = _NODE.unpack_from(page, node)
            number = low | high << 32
        return 1

    def _meta(self, number: int, offset: int) -> _Meta:
        content = os.pread(self._descriptor, _META.size, offset)
        found, kind, magic, version, map_bytes, free, main, last, txn = _META.unpack(content)
        meta = _Meta(_Tree(*_TREE.unpack(free)), _Tree(*_TREE.unpack(main)), map_bytes, last, txn)
        if (found, kind, magic, version) != (number, META, MAGIC, FORMAT):
            raise _NotPlain
        if meta.free.flags != INTEGER_KEYS or meta.main.flags or meta.main.page_bytes:
            raise _NotPlain
        return meta

    def _check_tree(self, tree: _Tree, check_leaf: "Callable[[bytes, bytes], bytes]") -> None:
        """Check a tree against its record."""
        self._found = _Found()
        if tree.root != NO_PAGE:
            last_key = b""
            for leaf in self._leaves(tree.root, 1):
                last_key = check_leaf(leaf, last_key)
        if not self._found.matches(tree):
            raise _NotPlain

    def _leaves(self, number: int, depth: int) -> Iterator[bytes]:
        """Yield the leaf pages under a page, in order."""
        self._mark(number, 1)
        page = self._read(number, self._page_bytes)
        found, kind, _, _ = _HEADER.unpack_from(page)
        if found != number or len(page) != self._page_bytes or depth > DEPTH_MAX:
            raise _NotPlain
        self._found.depth = max(self._found.depth, depth)
        if kind == LEAF:
            self._found.leaves += 1
            yield page
        elif kind == BRANCH:
            self._found.branches += 1
            for child in self._children(page):
                yield from self._leaves(child, depth + 1)
        else:
            raise _NotPlain

    def _children(self, page: bytes) -> list[int]:
        """Return the children of a branch page."""
        offsets, nodes_begin = _offsets(page)
        children: list[int] = []
        last = b""
        for offset in offsets:
            low, high, key_bytes = _NODE.unpack_from(page, offset)
            key = page[offset + 8 : offset + 8 + key_bytes]
            # The first key stands for everything below the second.
            if offset < nodes_begin or len(key) != key_bytes or (children and key <= last):
                raise _NotPlain
            last = key if children else b""
            children.append(low | high << 32)
        if not children:
            raise _NotPlain
        return children

    def _check_leaf(self, page: bytes, last: bytes, named: list[bytes] | None = None) -> bytes:
        """Check a leaf and return its last key; named databases are in the main tree only."""
        offsets, nodes_begin = _offsets(page)
        unpack, page_bytes = _NODE.unpack_from, self._page_bytes
        for offset in offsets:
            value_bytes, kind, key_bytes = unpack(page, offset)
            key_end = offset + 8 + key_bytes
            key = page[offset + 8 : key_end]
            if key <= last or offset < nodes_begin:
                raise _NotPlain
            last = key
            if kind == BIG:
                self._check_big(page, key_end, value_bytes)
            elif key_end + value_bytes > page_bytes:
                raise _NotPlain
            elif kind == TREE and named is not None:
                named.append(page[key_end : key_end + value_bytes])
            elif kind:
                raise _NotPlain
        self._found.entries += len(offsets)
        return last

    def _check_free(self, page: bytes, last: bytes) -> bytes:
        """Check a leaf of the free tree, mark the pages it lists; return its last key, reversed."""
        offsets, nodes_begin = _offsets(page)
        for offset in offsets:
            value_bytes, kind, key_bytes = _NODE.unpack_from(page, offset)
            key_end = offset + 8 + key_bytes
            # A little-endian integer: the transaction that freed the pages.
            key = page[offset + 8 : key_end][::-1]
            if key <= last or offset < nodes_begin or len(key) != _NUMBER.size:
                raise _NotPlain
            last = key
            if not 1 <= int.from_bytes(key, "big") <= self._last.transaction:
                raise _NotPlain
            if kind == BIG:
                first = self._check_big(page, key_end, value_bytes)
                value = self._read(first, value_bytes, _BIG_HEADER.size)
            elif kind:
                raise _NotPlain
            else:
                value = page[key_end : key_end + value_bytes]
            self._mark_free(value, value_bytes)
        self._found.entries += len(offsets)
        return last

    def _mark_free(self, value: bytes, value_bytes: int) -> None:
        """Mark the pages of a free list: their count, then their numbers, descending."""
        numbers = struct.unpack(f"<{len(value) // 8}Q", value)
        if len(value) != value_bytes or not numbers or numbers[0] != len(numbers) - 1:
            raise _NotPlain
        before = self._page_count
        for number in numbers[1:]:
            if number >= before:
                raise _NotPlain
            self._mark(number, 1)
            before = number

    def _check_big(self, page: bytes, offset: int, value_bytes: int) -> int:
        """Check the pages of a value that has its own; return the first."""
        (number,) = _NUMBER.unpack_from(page, offset)
        count = (_HEADER.size - 1 + value_bytes) // self._page_bytes + 1
        self._mark(number, count)
        header = self._read(number, _BIG_HEADER.size)
        if _BIG_HEADER.unpack(header) != (number, OVERFLOW, count):
            raise _NotPlain
        self._found.overflows += count
        return int(number)

    def _mark(self, number: int, count: int) -> None:
        """Mark pages; none may be marked yet."""
        end = number + count
        if number < META_PAGES or end > self._page_count or self._seen.find(1, number, end) >= 0:
            raise _NotPlain
        self._seen[number:end] = b"\1" * count

    def _read(self, page: int, count_bytes: int, skipped_bytes: int = 0) -> bytes:
        """Return the bytes from the beginning of a page; fewer at the end of the file."""
        return os.pread(self._descriptor, count_bytes, page * self._page_bytes + skipped_bytes)


def _offsets(page: bytes) -> tuple[tuple[int, ...], int]:
    """Return where the nodes of a page are, in the order of their keys, and where the first is."""
    _, _, offsets_end, nodes_begin = _HEADER.unpack_from(page)
    if not _HEADER.size <= offsets_end <= nodes_begin <= len(page):
        raise _NotPlain
    count = (offsets_end - _HEADER.size) // 2
    return struct.unpack_from(f"<{count}H", page, _HEADER.size), nodes_begin
