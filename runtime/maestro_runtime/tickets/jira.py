"""The `jira` sink: one issue for each ticket, and a comment on it for each repetition.

JIRA has no idempotent request, so before anything is created it is looked for, by label: each issue
carries the fingerprint of its ticket and the id of the posting that made it. The search index lags
behind; a posting that may have arrived is therefore searched for several times, well apart.
"""

import base64
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from jira import JIRA, JIRAError

from maestro_actors.help.posting import Posting
from maestro_runtime.config.tickets import JiraSettings
from maestro_runtime.tickets.errors import TicketNotDelivered
from maestro_runtime.tickets.text import body_of, is_marked, mark_of

if TYPE_CHECKING:
    from jira import Issue

TIMEOUT_SECONDS: Final = (5.0, 20.0)
"""For connecting, and for each wait for the server."""

SEARCH_PAUSES_SECONDS: Final = (0.0, 20.0, 40.0)
"""Pauses before the searches for an issue that may have been created a moment ago."""

ISSUE_TYPE: Final = "Task"
SUMMARY_CHARS_MAX: Final = 250
TEXT_CHARS_MAX: Final = 30_000
"""Longest description or comment; JIRA takes 32,767 characters."""

_KEY: Final = re.compile(r"[A-Z][A-Z0-9_]+-[0-9]+")
"""Form of an issue's key."""

_REFUSALS: Final = range(400, 500)

FIELDS: Final = "labels,status"
"""What is read of an issue."""


class JiraSink:
    """Files tickets in one project, by REST version 2. The library's own retries are off."""

    name = "jira"

    def __init__(
        self,
        settings: JiraSettings,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._pause = pause
        basic = base64.b64encode(f"{settings.email}:{settings.token}".encode()).decode()
        self.secrets: tuple[str, ...] = (settings.token, basic)

    def post(self, posting: Posting) -> str:
        """Create the issue or comment on it, unless that has been done; return its key."""
        client = self._client()
        asked = False
        try:
            issue = self._find(client, posting)
            asked = True
            return self._file(client, issue, posting)
        # The library raises its own error for a response, and what is an OSError without one.
        except (JIRAError, OSError) as error:
            # Of a request that changes something, only a refusal is certain: any other answer may
            # come from something in between.
            status = error.status_code if isinstance(error, JIRAError) else None
            unsure = asked and status not in _REFUSALS
            reason = f"{type(error).__name__}: {error}" if status is None else _told(error)
            raise TicketNotDelivered(self.name, reason, doubtful=unsure) from error
        finally:
            client.close()  # type: ignore[no-untyped-call] # the library's

    def _client(self) -> JIRA:
        settings = self._settings
        access: dict[str, Any] = (
            {"basic_auth": (settings.email, settings.token)}
            if settings.email
            else {"token_auth": settings.token}
        )
        return JIRA(
            settings.url,
            **access,
            max_retries=0,
            timeout=TIMEOUT_SECONDS,
            get_server_info=False,
            logging=False,
        )

    def _find(self, client: JIRA, posting: Posting) -> "Issue | None":
        """Return the issue that this posting made, or else the open one that it belongs to.

        An issue that may have been made a moment ago is searched for several times.
        """
        usable = self._usable(self._known(client, posting), posting)
        for pause_seconds in SEARCH_PAUSES_SECONDS if posting.doubtful else (0.0,):
            if usable is not None:
                break
            if pause_seconds:
                self._pause(pause_seconds)
            usable = self._usable(self._search(client, posting), posting)
        return usable

    def _known(self, client: JIRA, posting: Posting) -> "list[Issue]":
        """Return the issue that this posting repeats, if there is one and it still exists."""
        if not _KEY.fullmatch(posting.reference):
            # Empty, or of another sink that was configured then.
            return []
        try:
            return [client.issue(posting.reference, fields=FIELDS)]
        except JIRAError as error:
            if error.status_code != HTTPStatus.NOT_FOUND:
                raise
            return []

    def _search(self, client: JIRA, posting: Posting) -> "list[Issue]":
        """Return the issues of the ticket, newest first."""
        query = (
            f'project = "{self._settings.project}" AND labels = "{_label(posting.fingerprint)}" '
            "ORDER BY created DESC"
        )
        if self._settings.email:
            # The library would ask the server first what it is; only the cloud signs in by e-mail.
            client.deploymentType = "Cloud"
            found = client.enhanced_search_issues(query, maxResults=20, fields=FIELDS)
        else:
            found = client.search_issues(query, maxResults=20, fields=FIELDS)
        return list(found)

    def _usable(self, issues: "list[Issue]", posting: Posting) -> "Issue | None":
        made = (issue for issue in issues if _made_by(issue, posting))
        unresolved = (issue for issue in issues if issue.fields.status.statusCategory.key != "done")
        return next(made, None) or next(unresolved, None)

    def _file(self, client: JIRA, issue: "Issue | None", posting: Posting) -> str:
        """Create the issue, or comment on it; the comments are looked at, not searched for."""
        if issue is None:
            issue = client.create_issue(fields=self._fields(posting), prefetch=False)
        elif not _made_by(issue, posting) and not any(
            is_marked(comment.body, posting) for comment in client.comments(issue.key)
        ):
            client.add_comment(issue.key, _verbatim(posting))
        return str(issue.key)

    def _fields(self, posting: Posting) -> dict[str, Any]:
        return {
            "project": {"key": self._settings.project},
            "issuetype": {"name": ISSUE_TYPE},
            "summary": " ".join(posting.ticket.summary.split())[:SUMMARY_CHARS_MAX],
            "description": _verbatim(posting),
            "labels": ["maestro", _label(posting.fingerprint), _label(posting.posting_id)],
        }


def _told(error: Exception) -> str:
    """Return what the server said; the library's own text would add its headers."""
    return f"status {getattr(error, 'status_code', None)}: {getattr(error, 'text', '')}"


def _made_by(issue: "Issue", posting: Posting) -> bool:
    return _label(posting.posting_id) in issue.fields.labels


def _label(text: str) -> str:
    return f"maestro-{text}"


def _verbatim(posting: Posting) -> str:
    """Return the text so that JIRA does not take evidence for markup."""
    text = body_of(posting).replace("{noformat}", "(noformat)")
    if len(text) > TEXT_CHARS_MAX:
        text = f"{text[:TEXT_CHARS_MAX]}...\n{mark_of(posting)}\n"
    return f"{{noformat}}\n{text}{{noformat}}"
