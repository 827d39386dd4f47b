"""What is read of checkpoints, and which of them pruning leaves."""

import pickle
from pathlib import Path

import msgspec
import pytest

from maestro_actors.engine import Artifact
from maestro_actors.sessions.summary import FinishedTask, decode_summary
from maestro_runtime import Runtime, open_runtime
from maestro_runtime.checkpoints import (
    ArtifactMismatch,
    CheckpointReport,
    CheckpointTask,
    checkpoint_report,
    compared,
    find_checkpoint,
    prune,
    report_of_now,
    verified,
)
from maestro_storage import verify
from maestro_storage.errors import NotFound
from maestro_storage.transition import Transition
from two_phases import run_pair


def report_of(runtime: Runtime, which: str | None) -> CheckpointReport:
    return checkpoint_report(runtime.store, find_checkpoint(runtime.store, "s1", which))


def test_a_checkpoint_is_found_by_its_phase_or_its_number_or_is_the_last(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)

        found = [
            find_checkpoint(runtime.store, "s1", which).number
            for which in ("init", "write", "2", None)
        ]

        assert found == [1, 2, 2, 3]
        for wrong in ("4", "nothing", ""):
            with pytest.raises(NotFound, match=f"no such checkpoint: 's1/{wrong}'"):
                find_checkpoint(runtime.store, "s1", wrong)


def test_a_checkpoint_has_what_was_finished_by_then_and_no_more(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        ended = run_pair(runtime, tmp_path)
        init, write, check = (report_of(runtime, name) for name in ("init", "write", "check"))

    assert [(task.task_id, task.state) for task in check.tasks] == [
        ("note", "done"),
        ("review", "done"),
    ]
    assert (init.tasks, init.unfinished) == ((), ("note", "review"))
    assert (write.tasks, write.unfinished) == (check.tasks[:1], ("review",))
    assert write.tokens_used == ended.tasks[0].tokens_used > 0
    assert check.files.keys() == {"note.md", "review.md"}


def test_of_a_file_that_two_tasks_delivered_the_later_one_counts() -> None:
    def delivered(task_id: str, finished_ms: int) -> CheckpointTask:
        file = Artifact(path="a.md", size_bytes=1, sha256=task_id, changed=True)
        return CheckpointTask(
            task_id=task_id,
            phase="p",
            state="done",
            tokens_used=0,
            quality_score=1.0,
            finished_ms=finished_ms,
            artifacts=(file,),
        )

    report = CheckpointReport(
        schema="",
        session_id="s1",
        number=2,
        phase="p",
        at_ms=0,
        tokens_used=0,
        tasks=(delivered("a-late", 2), delivered("z-early", 1)),
        unfinished=(),
    )

    assert report.files["a.md"].sha256 == "a-late"


def test_a_summary_of_the_version_before_is_read() -> None:
    old = {"note": {"state": "done", "tokens_used": 3, "quality_score": 1.0, "manifest": None}}

    found = decode_summary(msgspec.msgpack.encode(old))

    assert found == {
        "note": FinishedTask(state="done", tokens_used=3, quality_score=1.0, manifest=None)
    }


def test_a_difference_names_tasks_files_and_tokens_both_ways(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        write, check = report_of(runtime, "write"), report_of(runtime, "check")
        now = report_of_now(runtime.store, "s1")

    on, back = compared(write, check), compared(check, write)
    assert (on.tasks.added, on.artifacts.added) == (("review",), ("review.md",))
    assert (back.tasks.removed, back.artifacts.removed) == (("review",), ("review.md",))
    assert on.tokens == -back.tokens == check.tokens_used - write.tokens_used > 0
    same = compared(check, now)
    assert (same.tokens, same.tasks.changed, same.artifacts.changed) == (0, (), ())


def test_files_that_are_not_what_they_were_are_named(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        report = report_of(runtime, None)
    workspace = tmp_path / "s1"
    whole = verified(report, str(workspace))
    (workspace / "note.md").write_bytes((workspace / "note.md").read_bytes() + b"more")
    (workspace / "review.md").unlink()

    found = verified(report, str(workspace))

    assert (whole.intact, whole.files) == (True, 2)
    assert (found.changed, found.missing) == (("note.md",), ("review.md",))
    assert not found.intact


@pytest.mark.parametrize("place", ["same length", "link", "folder", "parent is a file"])
def test_something_else_in_the_place_of_a_file_is_a_change(tmp_path: Path, place: str) -> None:
    content = b"content"
    artifact = Artifact(path="a/b.md", size_bytes=len(content), sha256="0" * 64, changed=True)
    task = CheckpointTask(
        task_id="t",
        phase="p",
        state="done",
        tokens_used=0,
        quality_score=1.0,
        finished_ms=0,
        artifacts=(artifact,),
    )
    report = CheckpointReport(
        schema="",
        session_id="s1",
        number=1,
        phase="p",
        at_ms=0,
        tokens_used=0,
        tasks=(task,),
        unfinished=(),
    )
    file = tmp_path / "a" / "b.md"
    if place == "parent is a file":
        file.parent.write_bytes(b"")
    else:
        file.parent.mkdir()
        (tmp_path / "elsewhere").write_bytes(content)
    if place == "same length":
        file.write_bytes(content)
    elif place == "link":
        file.symlink_to(tmp_path / "elsewhere")
    elif place == "folder":
        file.mkdir()

    assert verified(report, str(tmp_path)).changed == ("a/b.md",)


def test_without_its_directory_only_the_records_are_verified(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        found = verified(report_of(runtime, None), str(tmp_path / "gone"))

    assert (found.looked, found.intact, found.missing) == (False, True, ())


def test_pruning_leaves_the_first_and_the_last_and_frees_what_only_the_others_had(
    tmp_path: Path,
) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        summary = find_checkpoint(runtime.store, "s1", "write").summary

        pruned = prune(runtime.store, "s1", 1)

        assert (pruned.dropped, pruned.kept) == ((2,), (1, 3))
        assert [row.phase for row in runtime.store.checkpoints.scan("s1")] == ["init", "check"]
        assert runtime.store.payloads.get(summary) is None
        again = prune(runtime.store, "s1", 2)
        assert (again.dropped, again.kept) == ((), (1, 3))
        last = list(runtime.store.events.scan("s1"))[-1]
        assert (last.kind, last.at_ms, last.data) == ("checkpoints_pruned", 1, {"checkpoints": 1})
    assert verify(tmp_path / "state").intact


def test_a_session_that_can_go_on_keeps_all_its_checkpoints(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path, script=("permanent",), give_up_on_failure=False)
        # One more, as a further phase would leave it.
        draft = Transition()
        last = find_checkpoint(runtime.store, "s1", None)
        draft.put(msgspec.structs.replace(last, number=3, phase="more"))
        runtime.store.journal.commit(draft).result()

        pruned = prune(runtime.store, "s1", 1)

    assert (pruned.dropped, pruned.kept) == ((), (1, 2, 3))


def test_the_error_of_a_file_says_which_and_what_and_can_be_pickled() -> None:
    error = ArtifactMismatch("s1", "a.md", "it is missing")

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert str(again) == (
        "artifact 'a.md' of session 's1' must be as its checkpoint has it: it is missing"
    )
