"""A child of a fork has handles of its parent, and nobody in it who would ever answer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from daemon_team import TEAM
from fork_child import run_in_fork
from hosted import BOUND_SECONDS, Hosted
from maestro_actors.team import Persona
from maestro_runtime import Session, SessionOrder
from maestro_runtime.errors import SessionOfParent
from maestro_runtime.wire.errors import DaemonUnreachable

SLOW = msgspec.structs.replace(
    TEAM, personas={"dev": Persona(persona_id="dev", latency_seconds=600.0)}
)


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    hosted = Hosted(tmp_path)
    hosted.start()
    yield hosted
    hosted.stop()


def refuses_to_wait(session: Session) -> Callable[[], None]:
    """Return what a child does with a session that its parent has begun."""

    def wait() -> None:
        with pytest.raises(SessionOfParent, match="session 'slow' is followed by the parent"):
            session.result()

    return wait


def test_a_session_is_not_waited_for_in_a_fork_of_its_runtime(
    hosted: Hosted, tmp_path: Path
) -> None:
    session = hosted.runtime.run(SessionOrder(SLOW, "slow", tmp_path / "slow"))

    assert run_in_fork(refuses_to_wait(session)) == 0

    session.cancel(deadline_seconds=0.0)
    assert session.result(BOUND_SECONDS).state == "cancelled"


def test_a_fork_closes_a_runtime_at_once_and_its_parent_keeps_it(
    hosted: Hosted, tmp_path: Path
) -> None:
    runtime = hosted.runtime

    # Another thread may have it in the instant of the fork, and nobody ever gives it back.
    with runtime._running._lock:
        assert run_in_fork(runtime.close) == 0

    assert runtime.run(SessionOrder(TEAM, "s-1", tmp_path / "out")).result().state == "done"


def test_a_fork_leaves_the_line_of_a_client_to_its_parent(hosted: Hosted, tmp_path: Path) -> None:
    """What it sent would go out under numbers that the parent gives as well."""
    with hosted.client() as client:
        session = client.run(SessionOrder(SLOW, "slow", tmp_path / "slow"))
        batch = client.next_events("slow", 1_000)

        def use() -> None:
            refuses_to_wait(session)()
            with pytest.raises(DaemonUnreachable, match="this process is a fork of the client's"):
                client.run(SessionOrder(TEAM, "s-2"))
            client.leave(batch)
            client.close()

        assert run_in_fork(use) == 0

        client.cancel("slow", deadline_seconds=0.0)
        assert batch.get(timeout=BOUND_SECONDS).over
        assert session.result(BOUND_SECONDS).state == "cancelled"
