"""How soon does a killed runtime go on, and how soon is one ready whose state is large?

Resume: 10,000 tasks in flight at the same time, SIGKILL, and the next process. READY is when
`open_runtime` returns: locked, every value verified, epoch raised, survivors killed. First progress
is the first task that is durably done after it; peak memory is that of the whole process.

Start: `open_runtime` on a state of so many bytes, of finished tasks with a message of 4 KiB each,
all of which are verified. Each figure is from a process of its own; the file is in the page cache.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from maestro_actors.identity import call_id_of
from maestro_runtime import SessionOrder, open_runtime
from maestro_storage import Store
from maestro_storage.records import (
    AttemptRecord,
    CallRecord,
    EventRecord,
    SessionRecord,
    TaskRecord,
)
from maestro_storage.transition import Event, Transition
from measure import Options, in_child, interleaved, peak_bytes
from noop_engine import HANG
from noop_session import team_of
from row import Row, Target

TASKS = 10_000
MEGABYTE = 1_000_000
STARTS = ((10 * MEGABYTE, 0.5), (100 * MEGABYTE, 1.0), (1_000 * MEGABYTE, 5.0))
"""Bytes of state, and the seconds in which it is to be ready."""

MESSAGE_BYTES = 4096
TASKS_PER_SESSION = 1_000
TASKS_PER_TRANSITION = 50

Figures = dict[str, Any]


def measure(options: Options) -> list[Row]:
    """Measure the way back after a kill, and starts on larger and larger states."""
    return [*_resumes(options), *_starts(options)]


def _resumes(options: Options) -> list[Row]:
    count = options.count(TASKS)

    def once() -> Figures:
        with options.scratch() as directory:
            interrupted = partial(in_child, "bench_resume", "interrupt", directory, count)
            _killed(interrupted)
            return in_child("bench_resume", "resume", directory)

    samples = [once() for _ in range(min(options.rounds, 3))]
    return [
        Row(
            question=f"resume of {count:,} interrupted tasks, {what}",
            unit=unit,
            ours=[sample[key] for sample in samples],
        )
        for what, key, unit in (
            ("READY", "ready", "s"),
            ("first progress", "progress", "s"),
            ("all done", "done", "s"),
            ("peak memory", "peak_bytes", "bytes"),
        )
    ]


def _starts(options: Options) -> list[Row]:
    rows = []
    for full_bytes, seconds in STARTS:
        size_bytes = options.count(full_bytes)
        with options.scratch() as directory:
            fill(directory / "state", size_bytes)
            start = partial(in_child, "bench_resume", "start", directory)
            samples = interleaved(min(options.rounds, 3), {"ours": start})["ours"]
        rows.append(
            Row(
                question=f"start with {size_bytes / MEGABYTE:,.0f} MB of state, READY",
                unit="s",
                ours=[sample["ready"] for sample in samples],
                target=Target("at most", seconds, "figure"),
                note="" if size_bytes == full_bytes else f"the target is for {full_bytes:,} bytes",
            )
        )
    return rows


def _killed(run: Callable[[], object]) -> None:
    """Run a process that must end by SIGKILL."""
    try:
        run()
    except subprocess.CalledProcessError as error:
        if error.returncode == -signal.SIGKILL:
            return
        raise
    raise RuntimeError("the process that was to be killed came to its end")


def interrupt(directory: Path, count: int) -> Figures:
    """Begin `count` tasks, and die when all are in flight."""
    os.environ[HANG] = "1"
    left = [count]

    def heard(event: EventRecord) -> None:
        if event.kind == "attempt_started":
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    runtime = open_runtime(directory / "state")
    runtime.subscribe(heard)
    team = team_of(count, count, "wait_for_the_end")
    runtime.run(SessionOrder(team, "killed", directory / "output")).result()
    return {}


def resume(directory: Path) -> Figures:
    """Open what was killed and go on to the end."""
    progressed = threading.Event()
    figures: Figures = {}

    def heard(event: EventRecord) -> None:
        if event.kind == "task_done" and not progressed.is_set():
            figures["progress"] = time.perf_counter() - before
            progressed.set()

    before = time.perf_counter()
    with open_runtime(directory / "state") as runtime:
        figures["ready"] = time.perf_counter() - before
        runtime.subscribe(heard)
        report = runtime.resume("killed").result()
        figures["done"] = time.perf_counter() - before
    if report.state != "done":
        raise RuntimeError(f"the session ended {report.state}: {report.error}")
    figures["peak_bytes"] = peak_bytes()
    return figures


def start(directory: Path) -> Figures:
    """Open a state."""
    before = time.perf_counter()
    with open_runtime(directory / "state"):
        return {"ready": time.perf_counter() - before}


def fill(state_dir: Path, size_bytes: int) -> None:
    """Make a state of finished sessions that occupies `size_bytes`."""
    dice = random.Random(1)  # noqa: S311 - no secret
    session = 0
    with Store.open(state_dir) as store:
        while store.info().used_bytes < size_bytes:
            session += 1
            session_id = f"s{session:06d}"
            now_ms = time.time_ns() // 1_000_000
            # One after the other: a queue of hundreds of megabytes would only wait.
            for first in range(0, TASKS_PER_SESSION, TASKS_PER_TRANSITION):
                draft = Transition()
                if first == 0:
                    draft.put(_session_row(session_id, now_ms))
                for place in range(first, first + TASKS_PER_TRANSITION):
                    message = dice.randbytes(MESSAGE_BYTES)
                    put_task(draft, session_id, f"c{place:05d}", message, now_ms)
                store.journal.commit(draft).result()
                if store.info().used_bytes >= size_bytes:
                    break


def _session_row(session_id: str, now_ms: int) -> SessionRecord:
    return SessionRecord(
        session_id=session_id,
        state="done",
        team_name="bench",
        team=b"",
        output_dir="/nowhere",
        input_dir=None,
        created_ms=now_ms,
        updated_ms=now_ms,
        finished_ms=now_ms,
    )


def put_task(draft: Transition, session_id: str, task_id: str, message: bytes, now_ms: int) -> None:
    """Add a task with its one attempt, call and history, all of it done."""
    call_id = call_id_of(session_id, task_id, 1, 1)
    draft.put(
        TaskRecord(
            session_id=session_id,
            task_id=task_id,
            phase="only",
            persona_id="dev",
            engine="python",
            state="done",
            waits_for="nothing",
        )
    )
    draft.put(
        AttemptRecord(
            session_id=session_id,
            task_id=task_id,
            ordinal=1,
            round=1,
            attempt=1,
            call_id=call_id,
            state="ok",
            message=draft.payload(session_id, message),
        )
    )
    draft.put(
        CallRecord(
            session_id=session_id,
            call_id=call_id,
            task_id=task_id,
            persona_id="dev",
            engine="python",
            round=1,
            attempt=1,
            state="settled",
            reserved_tokens=1,
        )
    )
    for kind in ("attempt_started", "attempt_succeeded", "task_done"):
        draft.event(Event(session_id, kind, now_ms, task_id, {"persona_id": "dev"}))


def main() -> None:
    """Do one step and print its figures."""
    step, directory = sys.argv[1], Path(sys.argv[2])
    if step == "interrupt":
        figures = interrupt(directory, int(sys.argv[3]))
    else:
        figures = {"resume": resume, "start": start}[step](directory)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
