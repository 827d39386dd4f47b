"""A runtime that kills itself at a commit boundary.

WHEN is "before" (everything is written, nothing durable) or "after" (durable, nothing delivered).
Without a kill it runs the session to its end and exits with 0. With a WITNESS, a file, every
acknowledged event is in it the moment it is out.
"""

from pathlib import Path

from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.testing import KillAtCommit, When
from maestro_storage import _journal
from witnessed import acknowledger


def main(team: str, state: str, output: str, when: When, number: str, witness: str = "") -> None:
    """Run the session until the commit where it dies."""
    # One transition a commit: two that should have been one must not hide in the same batch.
    vars(_journal)["BATCH_TRANSITIONS_MAX"] = 1
    loaded = load_team(team, settings=resolve_settings(Flags(), {}))
    options = RuntimeOptions(observer=KillAtCommit(int(number), when))
    with open_runtime(state, options) as runtime:
        if witness:
            runtime.subscribe(acknowledger(witness))
        runtime.run(SessionOrder(loaded.team, "doomed", Path(output))).result(30.0)
