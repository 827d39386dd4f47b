"""Where alerts go: a file of the state directory, or the webhook."""

import json
from pathlib import Path

import msgspec
import pykka
import pytest

from listener import Listener
from maestro_actors.help.alert import AlertPosting, BudgetAlert
from maestro_actors.kernel import ActorSystem
from maestro_actors.messages import HelpDeskMessage, PostingNotSent, PostingSent
from maestro_runtime.config.tickets import JiraSettings, WebhookSettings
from maestro_runtime.redaction import Redactor, Secret
from maestro_runtime.tickets import (
    AlertFile,
    AlertSink,
    FileSink,
    TicketDesk,
    TicketNotDelivered,
    WebhookSink,
)
from maestro_runtime.tickets.jira import JiraSink
from ticket_server import TicketServer

BOUND_SECONDS = 20.0
SETTINGS = WebhookSettings(
    url=Secret("http://127.0.0.1:9/hook"), secret=Secret("whsec_" + "A" * 32)
)

POSTING = AlertPosting(
    posting_id="a" * 32 + "-1",
    alert=BudgetAlert(
        session_id="s-1",
        persona_id="dev",
        task_id="c1",
        budget_id="daily",
        window="day",
        metric="money",
        subject="",
        start_ms=1_700_000_000_000,
        permille=950,
        limit=1_000,
        spent=960,
        at_ms=1_700_000_000_123,
    ),
    doubtful=False,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "alerts.jsonl"


def test_an_alert_is_one_line_of_json_however_often_it_comes(file: Path) -> None:
    sink = AlertFile(file)
    other = msgspec.structs.replace(POSTING, posting_id="b" * 32 + "-1")

    again = msgspec.structs.replace(POSTING, doubtful=True)

    references = [sink.post_alert(item) for item in (POSTING, again, other, again)]

    assert set(references) == {str(file)}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["alert_id"] for line in lines] == [POSTING.posting_id, other.posting_id]
    assert (lines[0]["budget_id"], lines[0]["permille"], lines[0]["spent"]) == ("daily", 950, 960)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_crash_has_cut_off_does_not_swallow_the_next_one(file: Path) -> None:
    sink = AlertFile(file)
    sink.post_alert(POSTING)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])

    sink.post_alert(msgspec.structs.replace(POSTING, doubtful=True))

    assert file.read_bytes() == whole[:-10] + b"\n" + whole


def test_the_file_is_read_only_in_doubt(file: Path) -> None:
    sink = AlertFile(file)
    file.write_bytes(b"{}\n" * 4096)
    before = bytes_read()

    sink.post_alert(POSTING)

    assert bytes_read() - before < 4096


def bytes_read() -> int:
    """Return how many bytes this process has read from files so far."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"])


def test_a_file_that_cannot_be_written_leaves_a_doubt(tmp_path: Path) -> None:
    with pytest.raises(TicketNotDelivered, match="No such file or directory") as caught:
        AlertFile(tmp_path / "missing" / "alerts.jsonl").post_alert(POSTING)

    assert caught.value.doubtful


def test_the_webhook_gets_an_alert_as_an_event_of_its_own(server: TicketServer) -> None:
    sink = WebhookSink(WebhookSettings(url=Secret(f"{server.url}/hook"), secret=SETTINGS.secret))

    reference = sink.post_alert(POSTING)
    sink.post_alert(msgspec.structs.replace(POSTING, doubtful=True))

    one, other = server.posts("/hook")
    assert one.body == other.body
    assert one.headers["webhook-id"] == other.headers["webhook-id"] == reference
    body = json.loads(one.body)
    assert body["type"] == "maestro.budget.alert"
    assert body["timestamp"] == "2023-11-14T22:13:20.123+00:00"
    assert body["data"]["schema"] == "maestro.alert/1"
    assert body["data"]["alert"]["budget_id"] == "daily"
    assert body["data"]["summary"].startswith("budget 'daily' has reached 95 % of its limit")


def test_the_webhook_takes_alerts_and_a_tracker_of_tickets_does_not(tmp_path: Path) -> None:
    assert isinstance(WebhookSink(SETTINGS), AlertSink)
    assert not isinstance(FileSink(tmp_path), AlertSink)
    assert not isinstance(JiraSink(JiraSettings("http://x", "", Secret("t"), "OPS")), AlertSink)


@pytest.mark.parametrize("works", [True, False])
def test_the_desk_gives_alerts_to_their_own_sink(
    system: ActorSystem, tmp_path: Path, *, works: bool
) -> None:
    heard: pykka.Future[bytes] = pykka.ThreadingFuture()
    system.spawn(Listener, heard, address="urn:test")
    file = tmp_path / ("alerts.jsonl" if works else "missing/alerts.jsonl")
    desk = TicketDesk(system, FileSink(tmp_path / "tickets"), AlertFile(file), Redactor())

    desk.post(POSTING, "urn:test")

    message = msgspec.msgpack.decode(heard.get(timeout=BOUND_SECONDS), type=HelpDeskMessage)
    desk.close()
    assert isinstance(message, PostingSent if works else PostingNotSent)
    assert (message.session_id, message.posting_id) == ("s-1", POSTING.posting_id)
    assert not (tmp_path / "tickets").exists()
