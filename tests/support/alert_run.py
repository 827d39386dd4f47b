"""A run that raises one alert, killed at a commit if asked: see `main`.

`alert_run.py STATE SINK URL WHEN NUMBER`: SINK is "webhook" or "file", WHEN is "before", "after"
or "never".
"""

import base64
import sys
from pathlib import Path

from maestro_actors.help import help_desk
from maestro_actors.ledger.budget import Budget
from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.config.tickets import WebhookSettings
from maestro_runtime.redaction import Secret
from maestro_runtime.testing import KillAtCommit, When
from maestro_runtime.tickets import WebhookSink
from maestro_storage import _journal
from note_team import note_team

SECRET = "whsec_" + base64.b64encode(bytes(24)).decode()
SECONDS_MAX = 20.0

TEAM = note_team(
    "spending",
    Budget(id="all", window="forever", limit=100_000, alert_permille=(1,)),
    token_budget=10**9,
)
"""The one attempt uses 136 tokens, and the share is 100."""


def main(state: str, kind: str, url: str, when: When, number: str) -> None:
    """Run the team, or take it up, and wait until its alert is delivered."""
    # One transition a commit: two that should have been one must not hide in the same batch.
    vars(_journal)["BATCH_TRANSITIONS_MAX"] = 1
    vars(help_desk)["BACKOFF_SECONDS"] = 0.1
    settings = WebhookSettings(Secret(f"{url}/hook"), Secret(SECRET))
    sink = WebhookSink(settings) if kind == "webhook" else None
    options = RuntimeOptions(observer=KillAtCommit(int(number), when), tickets=sink)
    with open_runtime(state, options) as runtime:
        report = runtime.run(SessionOrder(TEAM, "s1", Path(state, "../out"))).result(SECONDS_MAX)
        if report.state != "done" or not runtime.settle_tickets("s1", SECONDS_MAX):
            sys.exit(f"the session is {report.state}, its alerts are not delivered")


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type] # a command line
