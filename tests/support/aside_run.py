"""A run of a session that no coordinator can work with, killed at a commit if asked: see `main`."""

import sys
from pathlib import Path

from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.testing import KillAtCommit, When
from maestro_storage import _journal
from note_team import note_team
from poisoned import poison

SECONDS_MAX = 20.0

TEAM = note_team("poisoned")


def main(state: str, when: When, number: str) -> None:
    """Run the session, or take it up, until it is set aside and its ticket is delivered.

    WHEN is "before", "after" or "never".
    """
    # One transition a commit: two that should have been one must not hide in the same batch.
    vars(_journal)["BATCH_TRANSITIONS_MAX"] = 1
    order = SessionOrder(TEAM, "s1", Path(state, "../out"))
    with open_runtime(state, RuntimeOptions(observer=KillAtCommit(int(number), when))) as runtime:
        runtime.create(order)
        if runtime.store.require_session("s1").state == "running":
            poison(runtime.store, "s1")
        report = runtime.run(order).result(SECONDS_MAX)
        if not report.set_aside or not runtime.settle_tickets("s1", SECONDS_MAX):
            sys.exit(f"the session is {report.state}, or its ticket is not delivered")
