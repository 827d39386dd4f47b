"""A run whose ticket goes to a sink, killed at a commit if asked: see `main`.

WHEN, for `main`, is "before", "after" or "never".
"""

import base64
import sys
from pathlib import Path

from maestro_actors.help import help_desk
from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.config.tickets import JiraSettings, WebhookSettings
from maestro_runtime.redaction import Secret
from maestro_runtime.testing import KillAtCommit, When
from maestro_runtime.tickets import TicketSink, WebhookSink
from maestro_runtime.tickets.jira import JiraSink
from maestro_storage import _journal
from note_team import note_team

SECRET = "whsec_" + base64.b64encode(bytes(24)).decode()
SECONDS_MAX = 20.0

TEAM = note_team("failing", script=("permanent",) * 5)


def main(state: str, kind: str, url: str, when: When, number: str) -> None:
    """Run the failing team, or take it up, and wait until its ticket is delivered."""
    # One transition a commit: two that should have been one must not hide in the same batch.
    vars(_journal)["BATCH_TRANSITIONS_MAX"] = 1
    vars(help_desk)["BACKOFF_SECONDS"] = 0.1
    sink: TicketSink = (
        WebhookSink(WebhookSettings(Secret(f"{url}/hook"), Secret(SECRET)))
        if kind == "webhook"
        # The index of the test's server does not lag: there is nothing to wait for.
        else JiraSink(JiraSettings(url, "", Secret("token"), "OPS"), pause=lambda _seconds: None)
    )
    options = RuntimeOptions(observer=KillAtCommit(int(number), when), tickets=sink)
    with open_runtime(state, options) as runtime:
        report = runtime.run(SessionOrder(TEAM, "s1", Path(state, "../out"))).result(SECONDS_MAX)
        if report.state != "failed" or not runtime.settle_tickets("s1", SECONDS_MAX):
            sys.exit(f"the session is {report.state}, its tickets are not delivered")
