"""One life of a runtime in which many threads start sessions at the same instant: `main`."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from committer import Committer, appoint
from maestro_runtime import RuntimeOptions, RuntimePolicy, SessionOrder, open_runtime
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.testing import KillAtCommit, When
from maestro_storage import StoreOptions

SESSIONS: Final = 8
BOUND_SECONDS: Final = 30.0


class Told(msgspec.Struct, frozen=True):
    """What who ordered a session was told."""

    place: int
    """Which of the orders."""
    session_id: str
    state: str = ""
    """How it has ended; empty: it is accepted."""


def main(
    place: str,
    team_path: str,
    committer: Committer,
    running: int | None,
    when: When = "never",
    number: int = 0,
) -> None:
    """Order all sessions and wait for their ends; die at a commit.

    Every other order has a name, the others are known by an idempotency key. `running` of the
    sessions may run at the same time.
    """
    appoint(committer)
    directory = Path(place)
    team = load_team(team_path, settings=resolve_settings(Flags(), {})).team
    log = os.open(directory / "told.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    options = RuntimeOptions(
        observer=KillAtCommit(number, when),
        policy=RuntimePolicy(sessions_running=running),
        store=StoreOptions(ballast_bytes=1 << 16),
    )
    gate = threading.Barrier(SESSIONS)

    def order(place: int) -> None:
        names = {"session_id": f"s{place}"} if place % 2 else {"idempotency_key": f"k{place}"}
        output = directory / f"output-{place}"
        gate.wait(BOUND_SECONDS)
        session = runtime.run(SessionOrder(team, output_dir=output, **names))  # type: ignore[arg-type] # of strings
        tell(Told(place, session.session_id))
        tell(Told(place, session.session_id, session.result(BOUND_SECONDS).state))

    def tell(told: Told) -> None:
        os.write(log, msgspec.json.encode(told) + b"\n")

    with (
        open_runtime(directory / "state", options) as runtime,
        ThreadPoolExecutor(SESSIONS) as pool,
    ):
        list(pool.map(order, range(SESSIONS)))


def told(directory: Path) -> list[Told]:
    """Return what all lives have told."""
    log = directory / "told.jsonl"
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [msgspec.json.decode(line, type=Told) for line in lines]
