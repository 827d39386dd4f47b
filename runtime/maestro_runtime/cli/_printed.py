"""What functions of personas say in the process of the runtime, line by line."""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from maestro_runtime.redaction import Redactor

LINE_BYTES_MAX: Final = 8_192
"""A longer line is told in pieces of about this size."""


@contextmanager
def printed(tell: Callable[[str], None], redactor: "Redactor") -> Iterator[None]:
    """Have each line that is printed told to somebody, on the thread that prints it.

    What is written to `sys.stderr` goes there line by line, without secrets (`stderr_cleaned`).

    Args:
        tell: Gets a line, or a piece of a long one, and takes the secrets out of it.
        redactor: Knows the secrets: none of them is cut in two.
    """
    lines = _Lines(tell, redactor, sys.stdout.fileno())
    with stderr_cleaned(redactor):
        try:
            with redirect_stdout(_stream(lines)):
                yield
        finally:
            lines.end()


@contextmanager
def stderr_cleaned(redactor: "Redactor") -> Iterator[None]:
    """Have what is written to `sys.stderr` go where it goes now, line by line, without secrets."""
    # Not by way of the log: what cannot be logged is complained of on stderr, too.
    stderr = sys.stderr

    def tell(line: str) -> None:
        stderr.write(redactor.clean(line) + "\n")
        stderr.flush()

    lines = _Lines(tell, redactor, stderr.fileno())
    try:
        with redirect_stderr(_stream(lines)):
            yield
    finally:
        lines.end()


def _stream(lines: "_Lines") -> TextIO:
    """Return a stream with all that a standard one has: foreign code may write bytes to it."""
    return io.TextIOWrapper(
        lines,  # type: ignore[type-var] # typeshed wants more of a buffer than is used
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )


class _Lines(io.RawIOBase):
    """Takes bytes and tells lines. Any thread; those of several do not get mixed within a line."""

    def __init__(self, tell: Callable[[str], None], redactor: "Redactor", descriptor: int) -> None:
        super().__init__()
        self._tell: Final = tell
        self._redactor: Final = redactor
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
        for line in lines:
            self._tell_rest(line)
        rest = self._tell_pieces(rest)
        if rest:
            self._begun[thread] = rest
        return len(data)

    def end(self) -> None:
        """Tell what has no end, too."""
        for thread in list(self._begun):
            self._tell_rest(self._begun.pop(thread))

    def _tell_rest(self, line: bytes) -> None:
        rest = self._tell_pieces(line)
        if rest:
            self._tell(rest.decode(errors="replace"))

    def _tell_pieces(self, line: bytes) -> bytes:
        """Tell the pieces of a line that are too long for it, and return what is left of it.

        A piece goes out when nothing that can follow would change where it ends; so pieces are the
        same whatever the writes were.
        """
        reach_bytes = self._redactor.reach_bytes
        # Never so few that a single secret could be longer.
        piece_bytes = max(LINE_BYTES_MAX, 2 * reach_bytes)
        begin = 0
        while len(line) - begin > piece_bytes + reach_bytes:
            end = self._redactor.cut(line, begin, begin + piece_bytes)
            self._tell(line[begin:end].decode(errors="replace"))
            begin = end
        return line[begin:]
