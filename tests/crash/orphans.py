"""SIGKILL of a runtime whose engines have started programs, which have started others in turn.

One of them has left the session and the process group of its parent. All of them hold a lock, which
nobody can have before the last of them is dead; and nobody is left of a task that has ended well.
"""

import fcntl
import random
import signal
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import Final

import forked
import witnessed
from committer import COMMITTERS
from crash_team import engine_runs
from invariants import Observed, check_end, check_state, done_tasks
from maestro_runtime.testing import end_of

TOOL: Final = textwrap.dedent(
    """
    import fcntl, json, os, subprocess, threading
    from pathlib import Path

    lock = open("../alive.lock")
    fcntl.flock(lock, fcntl.LOCK_SH)
    os.set_inheritable(lock.fileno(), True)
    task = os.environ["MAESTRO_TASK_ID"]
    run = {"call_id": os.environ["MAESTRO_CALL_ID"], "task_id": task}
    with open("../engine.log", "a") as log:
        log.write(json.dumps({**run, "ordinal": int(os.environ["MAESTRO_ATTEMPT"])}) + "\\n")
    for leaves in (False, True):
        subprocess.Popen(["sleep", "600"], start_new_session=leaves, close_fds=False)
    threading.Event().wait(0.05)
    Path(f"{task}.txt").write_text("done")
    """
)
TASKS: Final = 3
KILLS_MAX: Final = 4
LIFE_SECONDS_MAX: Final = 0.6
BOUND_SECONDS: Final = 20.0


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Kill some lives of a run, then let it end; nobody may outlive any of them."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    team, state = _team(directory), directory / "state"
    lock = directory / "alive.lock"
    lock.touch()
    places = str(team), str(state), str(directory / "output"), str(directory / "events.log")
    kills = 0
    for _ in range(chance.randint(1, KILLS_MAX)):
        life = forked.start(_live, chance.choice(COMMITTERS), *places)
        life.join(chance.random() * LIFE_SECONDS_MAX)
        life.kill()
        code = end_of(life)
        assert code in (0, -signal.SIGKILL), f"the life ended with exit code {code}"
        _see_dead(lock)
        check_state(state, _observed(directory))
        kills += code != 0
    done = done_tasks(state)
    assert forked.run(_live, "disk", *places) == 0
    _see_dead(lock)
    observed = _observed(directory)
    check_end(state, observed, done)
    return Counter(kills=kills, programs=len(observed.runs))


def _live(committer: str, *places: str) -> None:
    witnessed.main(*places, committer=committer)  # type: ignore[arg-type] # one of `COMMITTERS`


def _team(directory: Path) -> Path:
    tool = directory / "tool.py"
    tool.write_text(TOOL)
    text = textwrap.dedent(
        f"""
        [team]
        name = "tools"
        requirement = "leave nobody behind"
        max_parallel_workers = {TASKS}
        [defaults]
        engine = "command"
        backoff_seconds = 0.01
        backoff_max_seconds = 0.01
        round_backoff_seconds = [0.01]
        [personas.tool]
        command = {{ argv = ["{sys.executable}", "{tool}"] }}
        [[phases]]
        name = "work"
        """
    )
    for number in range(TASKS):
        text += textwrap.dedent(
            f"""
            [[contracts]]
            id = "t{number}"
            name = "file {number}"
            phase = "work"
            provider_persona_id = "tool"
            deliverables = [{{ name = "file", artifacts = ["t{number}.txt"] }}]
            """
        )
    team = directory / "team.toml"
    team.write_text(text)
    return team


def _observed(directory: Path) -> Observed:
    events = witnessed.acknowledged(directory / "events.log")
    return Observed(events, engine_runs(directory))


def _see_dead(lock: Path) -> None:
    """Wait until nobody holds the lock any more."""

    def wait() -> None:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    # Who waits for a lock cannot be told to give up.
    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(BOUND_SECONDS)
    assert not waiting.is_alive(), "a program has outlived its runtime"
