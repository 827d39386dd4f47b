"""The `file` sink, the default: one Markdown file for each ticket, in the state directory."""

import os
from pathlib import Path
from typing import Final

from maestro_actors.help.posting import Posting
from maestro_runtime._files import sync_directory
from maestro_runtime.tickets.errors import TicketNotDelivered
from maestro_runtime.tickets.text import body_of, is_marked

DIRECTORY: Final = "tickets"
"""Where the files are, in the state directory."""


class FileSink:
    """Writes a ticket to `<fingerprint>.md` and adds later postings of it to the same file."""

    name = "file"
    secrets: tuple[str, ...] = ()

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def post(self, posting: Posting) -> str:
        """Write the posting, unless it is there; durable on return. The reference is the path."""
        path = self._directory / f"{posting.fingerprint}.md"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            if not is_marked(before, posting):
                text = f"# {' '.join(posting.ticket.summary.split())}\n\n{body_of(posting)}"
                _replace(path, f"{before}\n{text}" if before else text)
        except OSError as error:
            # Written whole or not at all, and looked for first: to try again is safe.
            reason = f"{path}: {error.strerror or error}"
            raise TicketNotDelivered(self.name, reason, doubtful=False) from error
        return str(path)


def _replace(path: Path, text: str) -> None:
    """Put a file in place whole and durably."""
    draft = path.with_suffix(".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)
