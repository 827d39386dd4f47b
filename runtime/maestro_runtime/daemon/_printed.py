"""What functions of personas print in the process of the daemon, as lines of its log."""

import io
import logging
import threading
from typing import Final

LINE_CHARACTERS_MAX: Final = 8_192
"""A line that grows longer is logged in pieces."""

_log: Final = logging.getLogger(__name__)


class Printed(io.TextIOBase):
    """A standard output whose lines are logged (info): with their place in the work, no secrets.

    Any thread; what several print at the same time does not get mixed within a line.
    """

    def __init__(self) -> None:
        super().__init__()
        self._begun = threading.local()
        """The line that has no end yet, for each thread."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Log the lines that end in a text; what is behind them waits for its end."""
        *lines, rest = (getattr(self._begun, "line", "") + text).split("\n")
        if len(rest) > LINE_CHARACTERS_MAX:
            lines.append(rest)
            rest = ""
        self._begun.line = rest
        for line in lines:
            if line:
                _log.info("%s", line)
        return len(text)
