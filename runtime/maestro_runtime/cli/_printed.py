"""What functions of personas print in the process of the runtime, line by line."""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final

LINE_BYTES_MAX: Final = 8_192
"""A line that grows longer is told in pieces."""


@contextmanager
def printed(tell: Callable[[str], None]) -> Iterator[None]:
    """Have each line that is printed told to somebody, on the thread that prints it."""
    lines = _Lines(tell, sys.stdout.fileno())
    # With all that a standard output has: foreign code may write bytes to it.
    stream = io.TextIOWrapper(
        lines,  # type: ignore[type-var] # typeshed wants more of a buffer than is used
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )
    try:
        with redirect_stdout(stream):
            yield
    finally:
        lines.end()


class _Lines(io.RawIOBase):
    """Takes bytes and tells lines. Any thread; those of several do not get mixed within a line."""

    def __init__(self, tell: Callable[[str], None], descriptor: int) -> None:
        super().__init__()
        self._tell: Final = tell
        self._descriptor: Final = descriptor
        self._begun: dict[int, bytes] = {}
        """Lines that have no end yet, by thread."""

    def fileno(self) -> int:
        """Return the descriptor of the stream that this stands for: programs may be given it."""
        return self._descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Tell the lines that end in it; what is behind them waits for its end."""
        thread = threading.get_ident()
        *lines, rest = (self._begun.pop(thread, b"") + bytes(data)).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            lines.append(rest)
            rest = b""
        if rest:
            self._begun[thread] = rest
        for line in filter(None, lines):
            self._tell(line.decode(errors="replace"))
        return len(data)

    def end(self) -> None:
        """Tell what has no end, too."""
        for thread in list(self._begun):
            self._tell(self._begun.pop(thread).decode(errors="replace"))
