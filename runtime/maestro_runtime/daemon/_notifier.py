"""Telling systemd how the daemon is: sd_notify(3)."""

import logging
import os
import socket
from collections.abc import MutableMapping
from typing import Final

TOLD_ONCE: Final = frozenset({"READY", "RELOADING", "STOPPING"})
"""What the manager waits for and does not hear again."""

ROOM_SECONDS: Final = 5.0
"""How long that may wait for room: a manager takes some ten messages at a time."""

_log: Final = logging.getLogger(__name__)


class Notifier:
    """Sends what it is told to the service manager, if there is one. Any thread.

    What will be said again, or is out of date soon, is never waited for.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Take the variables of the service manager out of `environ`: they are not for children."""
        address = environ.pop("NOTIFY_SOCKET", "")
        interval_usec = environ.pop("WATCHDOG_USEC", "0")
        meant_for = environ.pop("WATCHDOG_PID", str(os.getpid()))
        self._address: Final = f"\0{address[1:]}" if address.startswith("@") else address
        mine = meant_for == str(os.getpid()) and interval_usec.isdecimal()
        self.watchdog_seconds: Final = int(interval_usec) / 1e6 if mine else 0.0
        """How often the manager wants to hear that the daemon works; 0 if it does not."""

    def tell(self, **fields: str | int) -> None:
        """Send assignments, such as `READY=1`; what cannot be sent is logged.

        While a busy manager has no room, `TOLD_ONCE` waits for it for 5 seconds at most.
        """
        if not self._address:
            return
        # A line break would begin another assignment.
        text = "\n".join(
            f"{key}={str(value).replace(chr(10), ' ')}" for key, value in fields.items()
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(ROOM_SECONDS if fields.keys() & TOLD_ONCE else 0)
            try:
                # Connected, since only then the kernel knows for whose room a sender waits.
                line.connect(self._address)
                line.send(text.encode())
            except OSError as error:
                _log.warning("the service manager cannot be told %s: %s", list(fields), error)
