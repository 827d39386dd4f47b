"""Sessions that are begun while others are not durable yet: they share commits."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pykka
import pytest

from held_commits import BOUND_SECONDS, HeldCommits
from maestro_runtime import Runtime, RuntimeOptions, RuntimePolicy, SessionOrder, open_runtime
from maestro_runtime.errors import AdmissionRefused, RuntimeStopped, SessionConflict
from maestro_runtime.running.session_queue import DOORKEEPER_ADDRESS
from maestro_runtime.starting import admission
from maestro_runtime.starting.openings import Opening
from maestro_runtime.testing import ScriptedEngine, simple_team
from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS, Accepted
from maestro_runtime.wire.session_order import start_of
from maestro_storage.errors import KeyTooLong, StoreFailed
from maestro_storage.records import EventRecord

Start = Callable[..., pykka.Future[Accepted]]

TEAM = simple_team({"a": ("a1",)}, workers=1)


@pytest.fixture
def commits() -> Iterator[HeldCommits]:
    commits = HeldCommits()
    yield commits
    commits.let_go()


@pytest.fixture
def policy() -> RuntimePolicy:
    return RuntimePolicy()


@pytest.fixture
def options(commits: HeldCommits, policy: RuntimePolicy) -> RuntimeOptions:
    return RuntimeOptions(engines=(ScriptedEngine(),), observer=commits, policy=policy)


@pytest.fixture
def runtime(tmp_path: Path, commits: HeldCommits, options: RuntimeOptions) -> Iterator[Runtime]:
    with open_runtime(tmp_path / "state", options) as runtime:
        commits.runtime = runtime
        yield runtime
        commits.let_go()


@pytest.fixture
def ask(runtime: Runtime, tmp_path: Path) -> Start:
    """Order a session by its name, as a client does, without waiting for the answer."""

    def asked(name: str, **fields: object) -> pykka.Future[Accepted]:
        order = SessionOrder(TEAM, name, tmp_path / name, **fields)  # type: ignore[arg-type] # of it
        return runtime.supervisor.carry_out(start_of(order))

    return asked


def all_taken(runtime: Runtime) -> None:
    """Wait until the supervisor has taken all orders so far; that needs no commit."""
    with pytest.raises(KeyTooLong):
        runtime.supervisor.keep_values(values={"x" * 1000: b"1"}).get(timeout=BOUND_SECONDS)


def test_orders_that_come_during_a_commit_share_the_next_one(
    runtime: Runtime, commits: HeldCommits, ask: Start
) -> None:
    commits.hold()
    names = [f"s{number}" for number in range(20)]
    first = ask(names[0])
    commits.wait_for_one()
    asked = [first, *(ask(name) for name in names[1:])]
    all_taken(runtime)
    commits.let_go()

    assert [each.get(timeout=BOUND_SECONDS).session_id for each in asked] == names
    # The first may have come together with what a runtime writes when it begins.
    assert set(commits.sessions) <= {0, 1, 20}
    assert all(runtime.ended(name).get(timeout=BOUND_SECONDS) is None for name in names)


def test_nothing_is_acknowledged_before_it_is_durable(
    runtime: Runtime, commits: HeldCommits, ask: Start
) -> None:
    commits.hold()
    asked = ask("s1")
    commits.wait_for_one()
    all_taken(runtime)

    with pytest.raises(pykka.Timeout):
        asked.get(timeout=0)
    assert not runtime.hosting.is_under_way("s1")
    commits.let_go()
    assert asked.get(timeout=BOUND_SECONDS).session_id == "s1"


def test_threads_of_one_process_share_commits(
    runtime: Runtime, commits: HeldCommits, tmp_path: Path
) -> None:
    commits.hold()
    handed_in = threading.Barrier(8, action=commits.let_go)

    def run(name: str) -> str:
        opening = runtime.begin(SessionOrder(TEAM, name, tmp_path / name))
        assert isinstance(opening, Opening)
        handed_in.wait(BOUND_SECONDS)
        return opening.result().session_id

    names = [f"s{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, names)) == names
    assert len({count for count in commits.sessions if count}) <= 2


def test_an_order_sees_the_session_that_was_ordered_just_before_it(
    runtime: Runtime, commits: HeldCommits, ask: Start
) -> None:
    commits.hold()
    started = ask("s1")
    paused = runtime.supervisor.pause_session(session_id="s1", reason="later", interrupt=True)
    commits.wait_for_one()
    commits.let_go()

    assert started.get(timeout=BOUND_SECONDS).session_id == "s1"
    assert paused.get(timeout=BOUND_SECONDS).session_id == "s1"
    runtime.ended("s1").get(timeout=BOUND_SECONDS)
    assert runtime.store.require_session("s1").state in ("paused", "done")


@pytest.mark.parametrize("key", [None, "k1"])
def test_the_same_order_twice_is_one_session(
    runtime: Runtime, commits: HeldCommits, ask: Start, key: str | None
) -> None:
    commits.hold()
    asked = [ask("s1", idempotency_key=key) for _ in range(2)]
    commits.wait_for_one()
    commits.let_go()

    assert [each.get(timeout=BOUND_SECONDS).session_id for each in asked] == ["s1", "s1"]
    assert [row.kind for row in runtime.store.events.scan("s1")].count("session_started") == 1


def test_keys_are_forgotten_with_their_sessions_but_not_of_those_under_way(
    runtime: Runtime,
    commits: HeldCommits,
    ask: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So that each order with a key looks which of the others are still wanted.
    monkeypatch.setattr(admission, "KEYS_GONE_MAX", -100)
    for name in ("kept", "removed"):
        ask(name, idempotency_key=f"key-{name}").get(timeout=BOUND_SECONDS)
        runtime.ended(name).get(timeout=BOUND_SECONDS)
    runtime.remove("removed")
    commits.hold()
    started = [ask(name, idempotency_key=f"key-{name}") for name in ("one", "two")]
    commits.wait_for_one()
    all_taken(runtime)
    commits.let_go()
    for each in started:
        each.get(timeout=BOUND_SECONDS)

    for name in ("kept", "one", "two"):
        order = SessionOrder(TEAM, output_dir=tmp_path / name, idempotency_key=f"key-{name}")
        assert runtime.run(order).session_id == name
    again = SessionOrder(TEAM, "again", tmp_path / "again", idempotency_key="key-removed")
    assert runtime.run(again).session_id == "again"


def test_another_order_of_the_same_name_is_a_conflict_with_the_one_under_way(
    commits: HeldCommits, ask: Start
) -> None:
    commits.hold()
    started = ask("s1", labels={"a": "1"})
    other = ask("s1", labels={"a": "2"})
    commits.wait_for_one()
    commits.let_go()

    assert started.get(timeout=BOUND_SECONDS).session_id == "s1"
    with pytest.raises(SessionConflict):
        other.get(timeout=BOUND_SECONDS)


@pytest.mark.parametrize("policy", [RuntimePolicy(sessions_running=1, sessions_queued=2)])
def test_what_finds_no_place_among_those_under_way_is_refused_and_not_written(
    runtime: Runtime, commits: HeldCommits, ask: Start
) -> None:
    commits.hold()
    asked = [ask(f"s{number}") for number in range(5)]
    commits.wait_for_one()
    all_taken(runtime)
    commits.let_go()

    assert [each.get(timeout=BOUND_SECONDS).session_id for each in asked[:3]] == ["s0", "s1", "s2"]
    for each in asked[3:]:
        with pytest.raises(AdmissionRefused):
            each.get(timeout=BOUND_SECONDS)
    for name in ("s0", "s1", "s2"):
        runtime.ended(name).get(timeout=BOUND_SECONDS)
    assert [row.session_id for row in runtime.store.sessions.scan()] == ["s0", "s1", "s2"]
    queued = [row.kind for row in runtime.store.events.scan("s2")][:3]
    assert queued == ["session_started", "session_queued", "session_admitted"]


def test_all_that_share_a_commit_hear_that_it_has_failed(
    runtime: Runtime, commits: HeldCommits, ask: Start
) -> None:
    commits.hold()
    asked = [ask(f"s{number}") for number in range(3)]
    commits.wait_for_one()
    all_taken(runtime)
    commits.let_go(OSError(5, "input/output error"))

    for each in asked:
        with pytest.raises(StoreFailed):
            each.get(timeout=BOUND_SECONDS)


def test_who_waits_when_the_runtime_closes_is_told_and_the_session_is_kept(
    tmp_path: Path,
) -> None:
    commits = HeldCommits()
    options = RuntimeOptions(engines=(ScriptedEngine(),), observer=commits)
    runtime = open_runtime(tmp_path / "state", options)
    supervisor = runtime.system.ref(SUPERVISOR_ADDRESS)
    assert supervisor is not None
    commits.hold()
    order = SessionOrder(TEAM, "s1", tmp_path / "s1")
    asked = runtime.supervisor.carry_out(start_of(order))
    commits.wait_for_one()
    # That may be one of what a runtime writes when it begins.
    all_taken(runtime)
    closing = threading.Thread(target=runtime.close)
    closing.start()
    assert supervisor.actor_stopped.wait(BOUND_SECONDS)
    commits.let_go()
    closing.join(BOUND_SECONDS)

    with pytest.raises(RuntimeStopped):
        asked.get(timeout=BOUND_SECONDS)
    with open_runtime(tmp_path / "state", RuntimeOptions(engines=(ScriptedEngine(),))) as again:
        assert again.take_up("s1").result(BOUND_SECONDS).state == "done"


@pytest.mark.parametrize("policy", [RuntimePolicy(sessions_running=1, sessions_queued=9)])
def test_sessions_that_leave_the_queue_together_share_commits(
    runtime: Runtime, commits: HeldCommits, gate: ScriptedEngine, tmp_path: Path
) -> None:
    batches: list[int] = []

    def note(event: EventRecord) -> None:
        if event.kind == "session_admitted":
            batches.append(len(commits.sessions))

    names = [f"s{number}" for number in range(9)]
    handles = [runtime.run(SessionOrder(TEAM, name, tmp_path / name)) for name in names]
    runtime.subscribe(note)
    commits.hold()
    # Not by a policy: that is acknowledged when it is durable.
    runtime._running.queue.govern(None, 9)
    commits.wait_for_one()
    doorkeeper = runtime.system.ref(DOORKEEPER_ADDRESS)
    assert doorkeeper is not None
    doorkeeper.ask(b"", timeout=BOUND_SECONDS)
    commits.let_go()
    gate.wait_for_calls(len(names))
    for _ in names:
        gate.release()

    assert [handle.result(BOUND_SECONDS).state for handle in handles] == ["done"] * 9
    assert len(batches) == 8
    assert len(set(batches)) <= 2


@pytest.mark.parametrize("policy", [RuntimePolicy(sessions_running=1, sessions_queued=9)])
def test_a_session_that_waits_again_keeps_its_place_when_its_way_out_is_seen_to_late(
    runtime: Runtime, gate: ScriptedEngine, tmp_path: Path
) -> None:
    handles = [runtime.run(SessionOrder(TEAM, name, tmp_path / name)) for name in ("s0", "s1")]
    gate.wait_for_calls(1)
    opening = runtime.admit("s1")
    assert isinstance(opening, Opening)
    # There is no room, as if it had been paused and resumed since it was let out.
    assert opening.result().session_id == "s1"
    doorkeeper = runtime.system.ref(DOORKEEPER_ADDRESS)
    assert doorkeeper is not None

    doorkeeper.ask(opening, timeout=BOUND_SECONDS)

    assert runtime._running.queue.holds("s1")
    gate.release()
    gate.wait_for_calls(2)
    gate.release()
    assert [handle.result(BOUND_SECONDS).state for handle in handles] == ["done", "done"]


@pytest.mark.parametrize("policy", [RuntimePolicy(sessions_running=1, sessions_queued=9)])
def test_a_session_that_cannot_begin_leaves_its_room_to_others(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(runtime._running, "_guard", fail)
        with pytest.raises(MemoryError):
            runtime.run(SessionOrder(TEAM, "s0", tmp_path / "s0"))

    handle = runtime.run(SessionOrder(TEAM, "s1", tmp_path / "s1"))

    assert handle.result(BOUND_SECONDS).state == "done"
