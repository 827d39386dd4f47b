"""The `webhook` sink: one signed POST for each posting, as Standard Webhooks describes it."""

import base64
import hashlib
import hmac
import http.client
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from maestro_actors.help.alert import AlertPosting
from maestro_actors.help.posting import Posting
from maestro_runtime._version import __version__
from maestro_runtime.config.tickets import WebhookSettings
from maestro_runtime.tickets.errors import TicketNotDelivered
from maestro_runtime.tickets.text import body_of

TIMEOUT_SECONDS: Final = 15.0
"""For connecting, and for each wait for the receiver."""

CAPABILITY_CHARACTERS_MIN: Final = 16
"""What follows the host may be a capability, which is secret; a shorter path is a name."""

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with


class WebhookSink:
    """Posts tickets and alerts to a URL. Redirects are not followed.

    Nobody can ask a webhook what it has received. A posting therefore keeps its `webhook-id` and
    its body over all tries, and the receiver is to drop an id that it has seen.
    """

    name = "webhook"
    secrets: tuple[str, ...]

    def __init__(
        self, settings: WebhookSettings, now_seconds: Callable[[], float] = time.time
    ) -> None:
        self._url = urlsplit(settings.url)
        self._key = base64.b64decode(settings.secret.removeprefix(SECRET_PREFIX))
        self._now_seconds = now_seconds
        target = _target(self._url.path, self._url.query)
        bare = settings.secret.removeprefix(SECRET_PREFIX)
        is_secret = len(target) >= CAPABILITY_CHARACTERS_MIN
        self.secrets = (settings.secret, bare, *((target,) if is_secret else ()))

    def post(self, posting: Posting) -> str:
        """Send the posting; the reference is its `webhook-id`."""
        return self._deliver(posting.posting_id, _event(posting))

    def post_alert(self, posting: AlertPosting) -> str:
        """Send the alert; the reference is its `webhook-id`."""
        return self._deliver(posting.posting_id, _alert_event(posting))

    def _deliver(self, posting_id: str, event: dict[str, Any]) -> str:
        body = msgspec.json.encode(event)
        webhook_id = f"msg_{posting_id}"
        timestamp = str(int(self._now_seconds()))
        headers = {
            "content-type": "application/json",
            "user-agent": f"maestro-runtime/{__version__}",
            "webhook-id": webhook_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(self._key, webhook_id, timestamp, body),
        }
        status = self._send(body, headers)
        if not HTTPStatus(200) <= status < HTTPStatus.MULTIPLE_CHOICES:
            reason = f"{self._url.hostname} answered with status {status}"
            unsure = status >= HTTPStatus.INTERNAL_SERVER_ERROR
            raise TicketNotDelivered(self.name, reason, doubtful=unsure)
        return webhook_id

    def _send(self, body: bytes, headers: dict[str, str]) -> int:
        """Make the request and return the status of the response."""
        kind = (
            http.client.HTTPSConnection
            if self._url.scheme == "https"
            else http.client.HTTPConnection
        )
        connection = kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_SECONDS)
        connected = False
        try:
            connection.connect()
            connected = True
            connection.request("POST", _target(self._url.path, self._url.query), body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            reason = f"{self._url.hostname}: {type(error).__name__}: {error}"
            raise TicketNotDelivered(self.name, reason, doubtful=connected) from error
        finally:
            connection.close()


def signature(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    """Return the value of `webhook-signature`: version 1, HMAC-SHA256 over id, time and body."""
    signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _target(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")


def _event(posting: Posting) -> dict[str, Any]:
    """Return the body for a ticket: the same for every try."""
    return {
        "type": "maestro.ticket.repeated" if posting.reference else "maestro.ticket.opened",
        "timestamp": _timestamp(posting.ticket.at_ms),
        "data": {
            "schema": "maestro.ticket/1",
            "posting_id": posting.posting_id,
            "fingerprint": posting.fingerprint,
            "summary": posting.ticket.summary,
            "text": body_of(posting),
            "ticket": posting.ticket,
        },
    }


def _alert_event(posting: AlertPosting) -> dict[str, Any]:
    """Return the body for an alert: the same for every try."""
    return {
        "type": "maestro.budget.alert",
        "timestamp": _timestamp(posting.alert.at_ms),
        "data": {
            "schema": "maestro.alert/1",
            "posting_id": posting.posting_id,
            "summary": posting.alert.summary,
            "alert": posting.alert,
        },
    }


def _timestamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
