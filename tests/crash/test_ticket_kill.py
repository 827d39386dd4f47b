"""One ticket for a final failure, whatever the process was doing with it when it was killed."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import forked
import ticket_run
from maestro_runtime.testing import end_of
from maestro_storage import Store
from ticket_server import NoAnswer, Request, TicketServer, serving

COMMITS_MAX = 30
SINKS = ["webhook", "jira"]


@pytest.fixture
def server() -> Iterator[TicketServer]:
    """A server that records what it is asked."""
    with serving() as state:
        yield state


def start(
    directory: Path, sink: str, server: TicketServer, when: str = "never", number: int = 0
) -> BaseProcess:
    state = str(directory / "state")
    return forked.start(ticket_run.main, state, sink, server.url, when, str(number))


def finish(process: BaseProcess) -> int:
    code = end_of(process)
    assert code in (0, -signal.SIGKILL)
    return code


def check_one_ticket(directory: Path, sink: str, server: TicketServer) -> None:
    """Check that there is one ticket, that the state knows it, and that the verdict is as it was.

    A webhook may be asked twice; its receiver tells by the id that it is the same posting.
    """
    with Store.inspect(directory / "state") as store:
        (row,) = store.outbox.scan("s1")
        assert row.state == "done"
        assert store.require_session("s1").state == "failed"
        task = store.tasks.get("s1", "note")
        assert task is not None
        assert (task.state, task.tickets) == ("failed", 1)
        filed = [event for event in store.events.scan("s1") if event.kind == "ticket_filed"]
        assert len(filed) == 1
    if sink == "jira":
        assert list(server.issues) == [row.reference]
        assert server.comments == []
    else:
        requests = server.posts("/hook")
        assert {request.headers["webhook-id"] for request in requests} == {row.reference}
        assert len({request.body for request in requests}) == 1
        assert json.loads(requests[0].body)["type"] == "maestro.ticket.opened"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("sink", SINKS)
def test_a_run_killed_at_any_commit_files_one_ticket(tmp_path: Path, sink: str, when: str) -> None:
    for number in range(1, COMMITS_MAX):
        directory = tmp_path / str(number)
        directory.mkdir()
        with serving() as server:
            if finish(start(directory, sink, server, when, number)) == 0:
                break
            assert finish(start(directory, sink, server)) == 0
            check_one_ticket(directory, sink, server)

    # The opening, the attempt, its end, that of the session, sending and done.
    assert 6 <= number < COMMITS_MAX


@pytest.mark.parametrize("moment", ["before", "handled", "answered"])
@pytest.mark.parametrize("sink", SINKS)
def test_a_run_killed_around_the_request_files_one_ticket(
    tmp_path: Path, server: TicketServer, sink: str, moment: str
) -> None:
    """The server kills whoever posts: before the request counts, before and after the response."""
    pid: Future[int] = Future()
    _kill_at(server, moment, pid)
    process = start(tmp_path, sink, server)
    pid.set_result(process.pid or 0)
    assert finish(process) == -signal.SIGKILL
    _leave_alone(server)

    assert finish(start(tmp_path, sink, server)) == 0

    check_one_ticket(tmp_path, sink, server)


@pytest.mark.parametrize("moment", ["before", "handled"])
@pytest.mark.parametrize("sink", SINKS)
def test_a_connection_that_breaks_and_a_kill_after_it_file_one_ticket(
    tmp_path: Path, server: TicketServer, sink: str, moment: str
) -> None:
    broken = threading.Event()

    def break_off(request: Request) -> None:
        if _files(request):
            broken.set()
            raise NoAnswer

    setattr(server, moment, break_off)
    process = start(tmp_path, sink, server)
    assert broken.wait(20.0)
    process.kill()
    finish(process)
    _leave_alone(server)

    assert finish(start(tmp_path, sink, server)) == 0

    check_one_ticket(tmp_path, sink, server)


def _files(request: Request) -> bool:
    """Whether a request makes a ticket."""
    return request.method == "POST" and request.path.endswith(("/hook", "/issue"))


def _kill_at(server: TicketServer, moment: str, pid: "Future[int]") -> None:
    def kill(request: Request) -> None:
        if _files(request):
            os.kill(pid.result(20.0), signal.SIGKILL)
            if moment == "before":
                raise NoAnswer

    setattr(server, moment, kill)


def _leave_alone(server: TicketServer) -> None:
    def nothing(_request: Request) -> None:
        """Let the request be."""

    hooks: list[Callable[[Request], None]] = [nothing] * 3
    server.before, server.handled, server.answered = hooks
