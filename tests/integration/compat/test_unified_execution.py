"""The two levels, and the state they keep, in one process."""

import asyncio
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import compat_run
from maestro_actors.help.answer import Answer
from maestro_hive.core.state_manager import StateManager
from maestro_hive.maestro.state.checkpoint import CheckpointManager
from maestro_hive.unified_execution import (
    ContractNotOwn,
    ExecutionConfig,
    HelpNeeded,
    PersonaExecutor,
    RecoverableError,
    SafetyRetryWrapper,
    StateConfig,
    StatePersistence,
    UnrecoverableError,
    WorkNotImportable,
)
from maestro_runtime.executors import (
    StateKeyInvalid,
    StateManagerConflict,
    StateValueInvalid,
    close_shared_runtimes,
    shared_runtime,
)
from maestro_storage.errors import NotFound

PROGRAM = """
import asyncio
from pathlib import Path
from maestro_hive.unified_execution import PersonaExecutor

def work(task):
    print("worked", flush=True)
    Path(task.workspace, "note.md").write_text("done")

contract = {"id": "note", "name": "n", "deliverables": [{"name": "n", "artifacts": ["note.md"]}]}
result = asyncio.run(PersonaExecutor("writer", "output", work).execute("a note", contract))
print(result.attempts, result.artifacts)
"""


def test_level_one_tries_again_and_delivers(tmp_path: Path) -> None:
    executor = compat_run.executor(tmp_path, fails=(1, 2))

    result = asyncio.run(executor.execute(compat_run.REQUIREMENT, compat_run.CONTRACT))

    assert result.success
    assert (executor.attempts, executor.final_status) == (3, "done")
    assert result.tokens_used == 15


def test_level_one_gives_up_after_its_attempts_and_tells_what_there_was(tmp_path: Path) -> None:
    """It has one round, whatever environment or context say: rounds are level 2."""
    executor = compat_run.executor(tmp_path, fails=(1, 2, 3, 4, 5))
    context = {"retry": {"max_rounds": 5}}

    with pytest.raises(UnrecoverableError) as raised:
        asyncio.run(executor.execute(compat_run.REQUIREMENT, compat_run.CONTRACT, context))

    assert compat_run.attempts(tmp_path) == [1, 2, 3]
    assert (executor.attempts, executor.final_status) == (3, "failed")
    result = raised.value.result
    assert result is not None
    assert result.call_ids == list(dict.fromkeys(result.call_ids))
    assert str(raised.value).startswith(
        f"work cannot succeed: session {executor.session_id!r} failed, attempts: 3: "
        "contract 'contract_001': work failed: rehearsed in attempt 3"
    )
    again = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - our own
    assert (str(again), again.result) == (str(raised.value), result)


def test_work_that_says_it_cannot_succeed_is_not_tried_again(tmp_path: Path) -> None:
    executor = compat_run.executor(tmp_path, gives_up=(1,))

    with pytest.raises(UnrecoverableError, match="there is no such API"):
        asyncio.run(executor.execute(compat_run.REQUIREMENT, compat_run.CONTRACT))

    assert compat_run.attempts(tmp_path) == [1]


def test_level_two_has_further_rounds_and_goes_on_after_an_answer(tmp_path: Path) -> None:
    wrapper = SafetyRetryWrapper(compat_run.executor(tmp_path, fails=(1, 2, 3, 4, 5, 6)))
    assert wrapper.circuit_state == "closed"

    with pytest.raises(HelpNeeded) as raised:
        asyncio.run(wrapper.execute(compat_run.REQUIREMENT, compat_run.CONTRACT))

    assert compat_run.attempts(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert Path(raised.value.reference).is_file()
    assert wrapper.executor.final_status == "help_needed"
    runtime = shared_runtime(tmp_path / "state")
    runtime.answer(wrapper.executor.session_id, "contract_001", Answer(decision="retry"))
    result = asyncio.run(wrapper.execute(compat_run.REQUIREMENT, compat_run.CONTRACT))
    assert (result.success, result.attempts) == (True, 7)


def test_the_breaker_of_level_two_opens_as_configured(tmp_path: Path) -> None:
    executor = compat_run.executor(
        tmp_path, fails=(1, 2), failures_max=2, retry=compat_run.ONE_ROUND
    )
    wrapper = SafetyRetryWrapper(executor)

    with pytest.raises(HelpNeeded):
        asyncio.run(wrapper.execute(compat_run.REQUIREMENT, compat_run.CONTRACT))

    assert wrapper.circuit_state == "open"


def test_what_was_interrupted_goes_on_only_if_the_configuration_says_so(tmp_path: Path) -> None:
    pipe = compat_run.held(tmp_path, 1)

    async def begin() -> None:
        executor = compat_run.executor(tmp_path)
        running = asyncio.create_task(executor.execute(compat_run.REQUIREMENT, compat_run.CONTRACT))
        assert await asyncio.to_thread(pipe.read_text) == "here"
        running.cancel()

    asyncio.run(begin())
    pipe.unlink()
    # The thread of its work hangs on; its call does not.
    close_shared_runtimes()

    idle = compat_run.executor(tmp_path, auto_resume=False)
    assert (idle.interrupted, idle.attempts, idle.final_status) == (None, 1, "")
    assert asyncio.run(idle.restore_latest()) is None
    resumed = asyncio.run(compat_run.executor(tmp_path).restore_latest())
    assert resumed is not None
    assert (resumed.success, resumed.session_id) == (True, idle.session_id)
    assert StatePersistence(tmp_path / "state").restore_latest() is None


@pytest.mark.parametrize(
    "error",
    [
        ContractNotOwn("dev", "api", "qa"),
        RecoverableError("the API is down"),
        StateKeyInvalid("", "1 to 120 bytes"),
        StateManagerConflict("/state", auto_persist=True),
        StateValueInvalid("a", "it is not"),
        WorkNotImportable("<lambda>"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert (type(again), str(again)) == (type(error), str(error))


def test_only_a_function_that_is_found_by_its_name_can_be_work(tmp_path: Path) -> None:
    config = ExecutionConfig(state=StateConfig(state_dir=tmp_path / "state"))

    with pytest.raises(WorkNotImportable, match="work must be a function of a module, found by"):
        PersonaExecutor("dev", tmp_path, lambda _: None, config=config)

    assert not (tmp_path / "state").exists()


def test_a_function_of_the_program_itself_can_be_work_in_each_run_of_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    printed = [
        subprocess.run(
            [sys.executable, str(program)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for _ in range(2)
    ]

    assert printed == ["worked\n1 ['note.md']\n", "1 ['note.md']\n"]


def test_values_of_a_state_directory_are_kept_until_they_are_deleted(state_dir: Path) -> None:
    manager = StateManager()
    manager.set_state("progress", {"done": [1, 2], "note": "größer"})
    close_shared_runtimes()

    assert StateManager(state_dir) is manager
    assert manager.get_state("progress") == {"done": [1, 2], "note": "größer"}
    assert manager.get_state("missing", 7) == 7
    manager.delete_state("progress")
    manager.delete_state("missing")
    assert manager.get_state("progress") is None


def test_without_auto_persist_values_are_seen_at_once_and_kept_by_persist(state_dir: Path) -> None:
    manager = StateManager(state_dir, auto_persist=False)
    store = shared_runtime(state_dir).store

    manager.set_state("a", 1)
    manager.set_state("b", None)

    assert manager.get_state("a") == 1
    assert list(store.values.scan()) == []
    manager.persist()
    assert [(row.name, row.value) for row in store.values.scan()] == [("a", b"1"), ("b", b"null")]
    manager.delete_state("a")
    assert manager.get_state("a", "gone") == "gone"
    with pytest.raises(StateManagerConflict) as raised:
        StateManager(state_dir)
    assert str(raised.value) == (
        f"the state manager of '{state_dir}' was made with auto_persist=False, got True"
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "the key of a value must have 1 to 120 bytes, got ''"),
        ("a\0b", r"the key of a value must have no NUL, got 'a\\x00b'"),
        ("x" * 121, "the key of a value must have 1 to 120 bytes, got 'xxx"),
    ],
)
def test_what_is_no_key_is_refused(key: str, text: str) -> None:
    with pytest.raises(StateKeyInvalid, match=text):
        StateManager().set_state(key, 1)


def test_what_is_not_json_is_refused() -> None:
    manager = StateManager()

    with pytest.raises(StateValueInvalid, match="the value of 'a' must be JSON: Object of type"):
        manager.set_state("a", Path())
    with pytest.raises(StateValueInvalid, match="must be JSON: at most 524288 bytes, got 524290"):
        manager.set_state("a", "x" * (1 << 19))
    assert manager.get_state("a") is None


def test_checkpoints_of_a_session_are_listed_verified_and_exported(tmp_path: Path) -> None:
    executor = compat_run.executor(tmp_path)
    result = asyncio.run(executor.execute(compat_run.REQUIREMENT, compat_run.CONTRACT))
    manager = CheckpointManager(tmp_path / "state")

    phases = [report.phase for report in manager.list_checkpoints(result.session_id)]
    last = manager.load_checkpoint(result.session_id)
    exported = manager.export_checkpoint(result.session_id, None, tmp_path / "out")

    assert phases == ["init", "execution"]
    assert list(last.files) == ["src/api.py"]
    assert manager.verify_checkpoint(result.session_id).changed == ()
    assert (tmp_path / "out" / "checkpoint_execution.json").is_file()
    assert exported.files == 1
    (tmp_path / "output" / "src" / "api.py").write_text("API = 2\n")
    assert manager.verify_checkpoint(result.session_id).changed == ("src/api.py",)
    with pytest.raises(NotFound):
        manager.load_checkpoint("nobody")
