"""The `file` sink of alerts: a line of JSON for each, in one file of the state directory."""

import os
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from maestro_actors.help.alert import AlertPosting
from maestro_runtime._files import sync_directory
from maestro_runtime.tickets.errors import TicketNotDelivered

FILE_NAME: Final = "alerts.jsonl"
"""The file in the state directory."""


class AlertFile:
    """Appends alerts to a file. A line that was cut off by a crash stays; the alert comes again."""

    name = "file"
    secrets: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path

    def post_alert(self, posting: AlertPosting) -> str:
        """Append the alert, unless it may be there and is; durable on return.

        The reference is the path.
        """
        told = {"alert_id": posting.posting_id, **msgspec.structs.asdict(posting.alert)}
        line = msgspec.json.encode(told) + b"\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(self._path, flags, 0o600), "r+b") as file:
                size_bytes = file.seek(0, os.SEEK_END)
                if not (posting.doubtful and _has(file, line)):
                    file.write(b"\n" + line if _is_cut_off(file, size_bytes) else line)
                    file.flush()
                os.fsync(file.fileno())
            if not size_bytes:
                sync_directory(self._path.parent)
        except OSError as error:
            reason = f"{self._path}: {error.strerror or error}"
            # The line may be in the file: the next try looks for it.
            raise TicketNotDelivered(self.name, reason, doubtful=True) from error
        return str(self._path)


def _has(file: BinaryIO, line: bytes) -> bool:
    file.seek(0)
    return line in file


def _is_cut_off(file: BinaryIO, size_bytes: int) -> bool:
    """Whether the last line of the file has no end."""
    file.seek(max(0, size_bytes - 1))
    return file.read(1) not in (b"", b"\n")
