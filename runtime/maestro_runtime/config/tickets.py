"""Where tickets go: settings of the environment. Secrets are never shown, not even when wrong."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from maestro_runtime.config.errors import SettingInvalid
from maestro_runtime.config.settings import BUILT_IN, Setting
from maestro_runtime.redaction import Secret

SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HIDDEN: Final = "a value that is not shown"


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Tickets are posted to a URL."""

    url: Secret
    secret: Secret
    """`whsec_` and base64."""


@dataclass(frozen=True, slots=True)
class JiraSettings:
    """Tickets become issues of a JIRA project."""

    url: str
    email: str
    """Of the account, in the cloud; empty for a server, where the token alone signs in."""
    token: Secret
    project: str


TicketSettings = WebhookSettings | JiraSettings | None
"""None: files in the state directory."""


def ticket_sink(environ: Mapping[str, str]) -> Setting[str]:
    """Return the name of the sink that `MAESTRO_TICKET_SINK` gives, and where it came from.

    Raises:
        SettingInvalid: There is no such sink.
    """
    sink = environ.get("MAESTRO_TICKET_SINK")
    if sink is None:
        return Setting("file", BUILT_IN)
    source = "environment MAESTRO_TICKET_SINK"
    if sink not in {"file", "webhook", "jira"}:
        raise SettingInvalid(source, '"file", "webhook" or "jira"', sink)
    return Setting(sink, source)


def resolve_ticket_settings(environ: Mapping[str, str]) -> TicketSettings:
    """Read where tickets go.

    Args:
        environ: Read for `MAESTRO_TICKET_SINK` ("file", "webhook" or "jira"; default "file"), and
            for the variables of the sink it names: `MAESTRO_WEBHOOK_URL`,
            `MAESTRO_WEBHOOK_SECRET`, or `MAESTRO_JIRA_URL`, `MAESTRO_JIRA_EMAIL` (in the cloud),
            `MAESTRO_JIRA_TOKEN`, `MAESTRO_JIRA_PROJECT`.

    Raises:
        SettingInvalid: A value is missing or breaks its rule; a secret is not in the text.
    """
    sink = ticket_sink(environ).value
    if sink == "webhook":
        return WebhookSettings(
            url=_secret(environ, "MAESTRO_WEBHOOK_URL", _is_safe_url, _URL_RULE),
            secret=_secret(environ, "MAESTRO_WEBHOOK_SECRET", _is_webhook_secret, _SECRET_RULE),
        )
    if sink == "jira":
        return JiraSettings(
            url=_secret(environ, "MAESTRO_JIRA_URL", _is_safe_url, _URL_RULE),
            email=environ.get("MAESTRO_JIRA_EMAIL", ""),
            token=_secret(environ, "MAESTRO_JIRA_TOKEN", bool, "an API token"),
            project=_checked(
                environ, "MAESTRO_JIRA_PROJECT", _is_project, "the key of a project, as in OPS"
            ),
        )
    return None


def _checked(
    environ: Mapping[str, str], variable: str, is_valid: Callable[[str], bool], rule: str
) -> str:
    value = environ.get(variable, "")
    if not is_valid(value):
        raise SettingInvalid(f"environment {variable}", rule, value)
    return value


def _secret(
    environ: Mapping[str, str], variable: str, is_valid: Callable[[str], bool], rule: str
) -> Secret:
    value = environ.get(variable, "")
    if not is_valid(value):
        raise SettingInvalid(f"environment {variable}", rule, _HIDDEN if value else value)
    return Secret(value)


_URL_RULE: Final = (
    "an https URL without user or fragment (http only to this machine)"  # tickets are confidential
)


def _is_safe_url(value: str) -> bool:
    # urlsplit would drop control characters silently, and raises for a port that is none.
    if not re.fullmatch(r"[!-~]+", value):
        return False
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    return (
        (parts.scheme == "https" or local)
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and not parts.fragment
    )


_SECRET_RULE: Final = f'"whsec_" and {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes in base64'


def _is_webhook_secret(value: str) -> bool:
    if not value.startswith("whsec_"):
        return False
    try:
        key = base64.b64decode(value.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return False
    return SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX


def _is_project(value: str) -> bool:
    return re.fullmatch(r"[A-Z][A-Z0-9_]{1,99}", value) is not None
