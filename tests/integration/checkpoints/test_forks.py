"""A fork goes on from a checkpoint of another session, which stays as it is."""

import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import msgspec
import pytest

from maestro_actors.team import Phase, decode_team
from maestro_runtime import ForkOrder, open_runtime
from maestro_runtime.checkpoints import (
    ArtifactMismatch,
    checkpoint_report,
    find_checkpoint,
    fork,
    fork_plan,
    prune,
)
from maestro_runtime.errors import DirectoryUnusable, SessionExists, SessionNameInvalid
from maestro_runtime.session import SessionOrder
from maestro_storage import StateView, Store, verify
from maestro_storage.errors import NotFound
from maestro_storage.records import EventRecord
from two_phases import BOUND_SECONDS, run_pair, two_phases

SUPPORT = Path(__file__).parents[2] / "support"
LATE_MS = 1 << 50
"""A wall clock at which every finished session is too old."""


def everything(store: StateView, session_id: str) -> list[bytes]:
    """Return all records of a session."""
    kinds = (
        *(store.sessions, store.tasks, store.attempts, store.calls, store.budgets),
        *(store.events, store.checkpoints, store.outbox),
    )
    return [msgspec.msgpack.encode(record) for kind in kinds for record in kind.scan(session_id)]


def order(tmp_path: Path, checkpoint: str | None = "write", new_id: str = "f") -> ForkOrder:
    return ForkOrder("s1", checkpoint, new_id, tmp_path / new_id)


def test_a_fork_runs_only_what_its_checkpoint_has_not(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        original = run_pair(runtime, tmp_path)
        before = everything(runtime.store, "s1")
        files = {path.name: path.read_bytes() for path in (tmp_path / "s1").iterdir()}

        report = runtime.fork(order(tmp_path)).result(BOUND_SECONDS)

        assert everything(runtime.store, "s1") == before
        phases = [row.phase for row in runtime.store.checkpoints.scan("f")]
        spent = {row.persona_id: row.spent_tokens for row in runtime.store.budgets.scan("f")}
        started = next(runtime.store.events.scan("f")).data
    assert report.state == "done"
    assert [len(task.attempts) for task in report.tasks] == [0, 1]
    assert {path.name: path.read_bytes() for path in (tmp_path / "s1").iterdir()} == files
    assert (tmp_path / "f" / "note.md").read_bytes() == files["note.md"]
    assert report.tokens_kept == report.tasks[0].tokens_kept == original.tasks[0].tokens_used
    assert spent == {"reviewer": report.tokens_used}
    assert phases == ["init", "write", "check"]
    assert (started["from_session"], started["from_checkpoint"], started["from_phase"]) == (
        *("s1", 2, "write"),
    )
    assert verify(tmp_path / "state").intact


def test_a_plan_says_what_is_kept_and_what_runs_again_and_changes_nothing(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        cost = {task.task_id: task.tokens_used for task in run_pair(runtime, tmp_path).tasks}
        plans = {
            which: fork_plan(runtime.store, order(tmp_path, which))
            for which in ("init", "write", "3")
        }
        assert runtime.store.sessions.count() == 1

    assert [(plan.tasks_kept, plan.files, plan.tokens_kept) for plan in plans.values()] == [
        ((), 0, 0),
        (("note",), 1, cost["note"]),
        (("note", "review"), 2, sum(cost.values())),
    ]
    assert [
        [(phase.phase, phase.tasks, phase.tokens, phase.untried) for phase in plan.again]
        for plan in plans.values()
    ] == [
        [("write", ("note",), cost["note"], 0), ("check", ("review",), cost["review"], 0)],
        [("check", ("review",), cost["review"], 0)],
        [],
    ]
    assert plans["init"].tokens_again == sum(cost.values())
    assert not (tmp_path / "f").exists()


def test_what_has_failed_or_was_never_tried_runs_in_a_fork(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        failed = run_pair(runtime, tmp_path, script=("permanent",))
        [again] = fork_plan(runtime.store, order(tmp_path)).again

        report = runtime.fork(order(tmp_path)).result(BOUND_SECONDS)

    assert failed.state == report.state == "failed"
    assert (again.tasks, again.untried) == (("review",), 0)
    assert [len(task.attempts) for task in report.tasks] == [0, 1]


def test_a_task_that_had_failed_by_then_is_not_kept(tmp_path: Path) -> None:
    """Of two phases side by side one has failed when the other ends."""
    team = two_phases(script=("permanent", "ok"))
    team = msgspec.structs.replace(
        team,
        phases=(Phase(name="check"), Phase(name="write")),
        contracts=team.contracts[::-1],
        max_parallel_workers=1,
    )
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(team, "s1", tmp_path / "s1")).result(BOUND_SECONDS)
        then = checkpoint_report(runtime.store, find_checkpoint(runtime.store, "s1", "write"))

        report = runtime.fork(order(tmp_path)).result(BOUND_SECONDS)

    assert {task.task_id: task.state for task in then.tasks} == {"note": "done", "review": "failed"}
    assert {task.task_id: len(task.attempts) for task in report.tasks} == {"note": 0, "review": 1}


def test_a_fork_may_be_given_another_requirement(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        other = ForkOrder("s1", "write", "f", tmp_path / "f", requirement="three notes")

        report = runtime.fork(other).result(BOUND_SECONDS)

        team = decode_team(runtime.store.payloads.require(runtime.store.require_session("s1").team))
    assert (report.requirement, team.requirement) == ("three notes", "two notes")
    assert b"three notes" in (tmp_path / "f" / "review.md").read_bytes()


def test_a_fork_of_the_end_has_nothing_to_run_and_is_done(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)

        report = runtime.fork(order(tmp_path, None)).result(BOUND_SECONDS)

    assert (report.state, report.tokens_used) == ("done", 0)
    assert [task.attempts for task in report.tasks] == [(), ()]


def test_a_fork_of_a_fork_keeps_what_both_have_done(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        first = run_pair(runtime, tmp_path)
        second = runtime.fork(order(tmp_path)).result(BOUND_SECONDS)

        third = runtime.fork(ForkOrder("f", None, "g", tmp_path / "g")).result(BOUND_SECONDS)

    kept = first.tasks[0].tokens_used + second.tasks[1].tokens_used
    assert (third.tokens_kept, third.tokens_used) == (kept, 0)


def test_forks_share_their_payloads(tmp_path: Path) -> None:
    """Team, manifests and the summary are stored once, however many there are."""
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        counts = [runtime.store.info().counts["payloads"]]
        for number in range(5):
            fork(runtime.store, order(tmp_path, new_id=f"f{number}"), 1)
            counts.append(runtime.store.info().counts["payloads"])

    assert counts == [counts[0]] * 6


def test_a_fork_without_a_name_gets_the_first_that_is_free(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        names = [
            fork(runtime.store, ForkOrder("s1", output_dir=tmp_path / str(number)), 1)
            for number in range(2)
        ]

    assert names == ["s1-fork-1", "s1-fork-2"]


def test_a_session_can_be_forked_while_it_runs(tmp_path: Path) -> None:
    written = threading.Event()

    def hear(event: EventRecord) -> None:
        if event.kind == "attempt_started" and event.task_id == "review":
            written.set()

    with open_runtime(tmp_path / "state") as runtime:
        runtime.subscribe(hear)
        runtime.run(SessionOrder(two_phases(latency_seconds=60.0), "s1", tmp_path / "s1"))
        assert written.wait(BOUND_SECONDS)

        fork(runtime.store, order(tmp_path), 1)

        states = [task.state for task in runtime.store.tasks.scan("f")]
        assert states == ["done", "queued"]
        task = runtime.store.tasks.get("s1", "review")
        assert task is not None
        assert task.state == "running"


def test_what_cannot_be_forked_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        refusals: list[tuple[ForkOrder, type[Exception], str]] = [
            (order(tmp_path, "write", "s1"), SessionExists, "'s1' exists already"),
            (ForkOrder("s1", None, "../f"), SessionNameInvalid, "a session id must match"),
            (ForkOrder("x", None, "f"), NotFound, "no such session: 'x'"),
            (order(tmp_path, "x"), NotFound, "no such checkpoint: 's1/x'"),
            (
                ForkOrder("s1", None, "f", tmp_path / "s1"),
                DirectoryUnusable,
                "it is the workspace of session 's1'",
            ),
            (
                ForkOrder("s1", None, "f", tmp_path / "state" / ".." / "s1"),
                DirectoryUnusable,
                "it is the workspace of session 's1'",
            ),
        ]
        for wrong, error, text in refusals:
            with pytest.raises(error, match=text):
                runtime.fork(wrong)
        (tmp_path / "s1" / "note.md").unlink()
        with pytest.raises(ArtifactMismatch, match=r"artifact 'note.md' of session 's1'"):
            runtime.fork(order(tmp_path))

        assert [record.session_id for record in runtime.store.sessions.scan()] == ["s1"]


def test_pruning_leaves_the_checkpoint_that_a_fork_began_with(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        fork(runtime.store, order(tmp_path), 1)

        assert prune(runtime.store, "s1", 1).kept == (1, 2, 3)


def test_pruning_keeps_a_summary_that_another_checkpoint_has_too(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        runtime.fork(order(tmp_path)).result(BOUND_SECONDS)
        first, second, _ = runtime.store.checkpoints.scan("f")
        references = runtime.store.info().counts["references"]

        assert prune(runtime.store, "f", 1).dropped == (2,)

        assert first.summary == second.summary
        assert runtime.store.info().counts["references"] == references
        assert [task.task_id for task in checkpoint_report(runtime.store, first).tasks] == ["note"]


def test_a_fork_outlives_its_original(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        fork(runtime.store, order(tmp_path), 1)
        assert runtime.store.retain(LATE_MS) == ["s1"]

        assert runtime.resume("f").result(BOUND_SECONDS).state == "done"
        with pytest.raises(NotFound):
            find_checkpoint(runtime.store, "s1", None)


PROGRAM = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from maestro_runtime.testing import KillAtCommit
    from maestro_runtime import ForkOrder
    from maestro_runtime.checkpoints import fork
    from maestro_storage import Store, StorePorts
    here = Path(sys.argv[2])
    ports = StorePorts(observer=KillAtCommit(1, sys.argv[3]))
    with Store.open(here / "state", ports=ports) as store:
        fork(store, ForkOrder("s1", "write", "f", here / "f"), 1)
    """
)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_between_files_and_fork_leaves_nothing_or_all(tmp_path: Path, when: str) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)

    argv = [sys.executable, "-c", PROGRAM, str(SUPPORT), str(tmp_path), when]
    killed = subprocess.run(argv, check=False, timeout=120)

    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "f" / "note.md").exists()
    if when == "before":
        with Store.open(tmp_path / "state") as store:
            assert fork(store, order(tmp_path), 1) == "f"
    with open_runtime(tmp_path / "state") as runtime:
        report = runtime.resume("f").result(BOUND_SECONDS)
    assert [len(task.attempts) for task in report.tasks] == [0, 1]
