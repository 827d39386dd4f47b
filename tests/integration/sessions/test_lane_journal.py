"""Who commits: the lane of the actors while it has nothing else to do, else the writer thread."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pykka
import pytest

from maestro_actors.kernel import AsyncLane, LaneActor, _async_lane
from maestro_actors.team import Contract, Persona, Phase, Team
from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.ports.journal import LaneJournal
from maestro_storage import Store, StorePorts, _journal
from maestro_storage.transition import Event, Transition

BOUND_SECONDS = 20.0

LANE, WRITER = "actors", "maestro-journal"


class Threads:
    """Notes which thread makes each commit."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def before_commit(self, _number: int) -> None:
        self.names.append(threading.current_thread().name)

    def after_commit(self, _number: int) -> None:
        pass


def _team(tasks: int) -> Team:
    return Team(
        name="t",
        requirement="r",
        personas={"dev": Persona(persona_id="dev")},
        phases=(Phase(name="build"),),
        contracts=tuple(
            Contract(id=f"c{place}", name="c", phase="build", provider_persona_id="dev")
            for place in range(tasks)
        ),
        max_parallel_workers=1,
    )


def test_the_lane_commits_what_is_done_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The machine may be busy: any commit is a quick one, and the lane rests after any turns.
    monkeypatch.setattr(_journal, "QUICK_SECONDS", BOUND_SECONDS)
    monkeypatch.setattr(_async_lane, "SLICE_SECONDS", BOUND_SECONDS)
    threads = Threads()
    with open_runtime(tmp_path / "state", RuntimeOptions(observer=threads)) as runtime:
        report = runtime.run(SessionOrder(_team(5), "s-1", tmp_path / "output")).result(
            BOUND_SECONDS
        )

    assert report.state == "done"
    assert threads.names.count(LANE) >= 5
    assert set(threads.names) == {LANE, WRITER}


def test_a_lane_commits_nothing_where_the_disk_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_journal, "QUICK_SECONDS", 0)
    threads = Threads()
    with open_runtime(tmp_path / "state", RuntimeOptions(observer=threads)) as runtime:
        report = runtime.run(SessionOrder(_team(5), "s-1", tmp_path / "output")).result(
            BOUND_SECONDS
        )

    assert report.state == "done"
    assert set(threads.names) == {WRITER}


class _Doer(LaneActor):
    """Does what it is told to."""

    def on_receive(self, message: Callable[[], object]) -> object:
        return message()


@pytest.fixture
def lane() -> Iterator[AsyncLane]:
    lane = AsyncLane(LANE)
    yield lane
    lane.close()


@pytest.fixture
def doer(lane: AsyncLane) -> pykka.ActorRef[_Doer]:
    return type("Doer", (_Doer,), {"lane": lane}).start()  # type: ignore[attr-defined,no-any-return] # of this lane


def _draft(*messages: str) -> Transition:
    draft = Transition(events=[Event("s-1", "step", 1)])
    for message in messages:
        draft.then("nobody", message.encode())
    return draft


def test_a_lane_writes_all_that_came_of_its_turns_in_one_commit(
    tmp_path: Path, lane: AsyncLane, doer: pykka.ActorRef[_Doer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_journal, "QUICK_SECONDS", BOUND_SECONDS)
    threads = Threads()
    delivered = threading.Event()
    ports = StorePorts(deliver=lambda _address, _message: delivered.set(), observer=threads)
    with Store.open(tmp_path / "state", ports=ports) as store:
        store.journal.settle(BOUND_SECONDS)
        journal = LaneJournal(store.journal, lane)

        def turn() -> None:
            for number in range(50):
                journal.append(_draft(*(["last"] if number == 49 else [])))

        doer.tell(turn)

        assert delivered.wait(BOUND_SECONDS)
        assert store.events.count("s-1") == 50
    # The thread may not have come to rest by then; what it is at ends with all that is queued.
    assert len(threads.names) in (2, 3)


def test_a_lane_that_does_not_rest_leaves_the_writing_to_the_thread(
    tmp_path: Path, lane: AsyncLane, doer: pykka.ActorRef[_Doer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_journal, "QUICK_SECONDS", BOUND_SECONDS)
    monkeypatch.setattr(_async_lane, "SLICE_SECONDS", 0.0)
    threads = Threads()
    delivered = threading.Event()
    ports = StorePorts(deliver=lambda _address, _message: delivered.set(), observer=threads)
    with Store.open(tmp_path / "state", ports=ports) as store:
        store.journal.settle(BOUND_SECONDS)
        journal = LaneJournal(store.journal, lane)

        def turn() -> None:
            if not delivered.is_set():
                doer.tell(turn)

        def begin() -> None:
            journal.append(_draft("one"))
            doer.tell(turn)

        doer.tell(begin)

        assert delivered.wait(BOUND_SECONDS)
    assert set(threads.names) == {WRITER}


def test_another_thread_wakes_the_writer_thread(tmp_path: Path, lane: AsyncLane) -> None:
    threads = Threads()
    delivered = threading.Event()
    ports = StorePorts(deliver=lambda _address, _message: delivered.set(), observer=threads)
    with Store.open(tmp_path / "state", ports=ports) as store:
        LaneJournal(store.journal, lane).append(_draft("one"))

        assert delivered.wait(BOUND_SECONDS)
    assert threads.names == [WRITER]
