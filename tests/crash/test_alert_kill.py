"""One alert for a share that is reached, whatever the process was doing when it was killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_storage import Store
from ticket_server import NoAnswer, Request, TicketServer, serving

PROGRAM = Path(__file__).parents[1] / "support" / "alert_run.py"
CLOSING = 3
"""The opening of the session, that of the attempt, and the end of it, which raises the alert."""
COMMITS_MAX = 30


@pytest.fixture
def server() -> Iterator[TicketServer]:
    """A server that records what it is asked."""
    with serving() as state:
        yield state


def start(
    directory: Path, sink: str, server: TicketServer, when: str = "never", number: int = 0
) -> "subprocess.Popen[str]":
    argv = [
        *(sys.executable, str(PROGRAM), str(directory / "state")),
        *(sink, server.url, when, str(number)),
    ]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> int:
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode


def check_one_alert(directory: Path, sink: str, server: TicketServer) -> None:
    """Check that there is one alert, that the state knows it, and that it was told once.

    A webhook may be asked twice; its receiver tells by the id that it is the same alert.
    """
    with Store.inspect(directory / "state") as store:
        (alert,) = store.alerts.scan()
        (row,) = store.outbox.scan("s1")
        assert (row.kind, row.state) == ("alert", "done")
        kinds = [event.kind for event in store.events.scan("s1")]
        assert kinds.count("budget_alert") == kinds.count("alert_sent") == 1
    if sink == "file":
        (line,) = (directory / "state" / "alerts.jsonl").read_text().splitlines()
        assert json.loads(line)["alert_id"] == row.outbox_id
        assert json.loads(line)["spent"] == alert.spent
    else:
        requests = server.posts("/hook")
        assert {request.headers["webhook-id"] for request in requests} == {row.reference}
        assert len({request.body for request in requests}) == 1


@pytest.mark.parametrize(("sink", "when"), [("file", "after"), ("webhook", "before")])
def test_a_run_killed_at_any_commit_tells_an_alert_once(
    tmp_path: Path, sink: str, when: str
) -> None:
    for number in range(CLOSING, COMMITS_MAX):
        directory = tmp_path / str(number)
        directory.mkdir()
        with serving() as server:
            if finish(start(directory, sink, server, when, number)) == 0:
                break
            assert finish(start(directory, sink, server)) == 0
            check_one_alert(directory, sink, server)

    # Then the end of the session, sending and done.
    assert CLOSING + 3 <= number < COMMITS_MAX


@pytest.mark.parametrize("moment", ["before", "handled", "answered"])
def test_a_run_killed_around_the_request_tells_an_alert_once(
    tmp_path: Path, server: TicketServer, moment: str
) -> None:
    """The server kills whoever posts: before the request counts, before and after the response."""
    with start(tmp_path, "webhook", server) as process:

        def kill(_request: Request) -> None:
            os.kill(process.pid, signal.SIGKILL)
            if moment == "before":
                raise NoAnswer

        setattr(server, moment, kill)
        assert finish(process) == -signal.SIGKILL
    setattr(server, moment, lambda _request: None)

    assert finish(start(tmp_path, "webhook", server)) == 0

    check_one_alert(tmp_path, "webhook", server)
