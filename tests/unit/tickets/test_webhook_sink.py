"""The webhook sink against a server that records."""

import base64
import hashlib
import hmac
import json

import msgspec
import pytest

from maestro_actors.help.posting import Posting
from maestro_runtime.config.tickets import WebhookSettings
from maestro_runtime.redaction import Secret
from maestro_runtime.tickets import TicketNotDelivered, WebhookSink
from maestro_runtime.tickets.webhook import signature
from ticket_server import NoAnswer, Request, TicketServer

KEY = bytes(range(24))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def sink(server: TicketServer) -> WebhookSink:
    settings = WebhookSettings(url=Secret(f"{server.url}/capability/hook"), secret=Secret(SECRET))
    return WebhookSink(settings, now_seconds=lambda: 1_700_000_100.9)


def test_the_signature_is_that_of_the_published_example() -> None:
    """The example of the Standard Webhooks specification and of its libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'

    value = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)

    assert value == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_request_carries_id_time_and_a_signature_over_exactly_its_body(
    server: TicketServer, sink: WebhookSink, first: Posting
) -> None:
    reference = sink.post(first)

    (request,) = server.posts("/hook")
    signed = b".".join(
        (
            request.headers["webhook-id"].encode(),
            request.headers["webhook-timestamp"].encode(),
            request.body,
        )
    )
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert request.headers["webhook-timestamp"] == "1700000100"
    assert request.headers["webhook-id"] == reference == f"msg_{first.posting_id}"


def test_the_body_tells_the_ticket(
    server: TicketServer, sink: WebhookSink, first: Posting, second: Posting
) -> None:
    sink.post(first)
    sink.post(second)

    opened, repeated = (json.loads(request.body) for request in server.posts("/hook"))
    assert (opened["type"], repeated["type"]) == (
        "maestro.ticket.opened",
        "maestro.ticket.repeated",
    )
    assert opened["timestamp"] == "2023-11-14T22:13:20.123+00:00"
    assert opened["data"]["ticket"]["attempts"][0]["tokens"] == 70
    assert opened["data"]["fingerprint"] == repeated["data"]["fingerprint"]


def test_id_and_body_stay_the_same_over_all_tries(
    server: TicketServer, sink: WebhookSink, first: Posting
) -> None:
    sink.post(first)
    sink.post(msgspec.structs.replace(first, doubtful=True))

    one, other = server.posts("/hook")
    assert one.body == other.body
    assert one.headers["webhook-id"] == other.headers["webhook-id"]


@pytest.mark.parametrize(
    ("status", "doubtful"), [(302, False), (400, False), (410, False), (429, False), (502, True)]
)
def test_any_answer_but_success_is_a_failure_and_no_redirect_is_followed(
    server: TicketServer, sink: WebhookSink, first: Posting, *, status: int, doubtful: bool
) -> None:
    asked: list[Request] = []
    server.before = asked.append
    server.status = status

    with pytest.raises(TicketNotDelivered) as caught:
        sink.post(first)

    assert caught.value.doubtful == doubtful
    assert caught.value.reason == f"127.0.0.1 answered with status {status}"
    assert [request.path for request in asked] == ["/capability/hook"]


def test_a_connection_that_breaks_after_the_request_leaves_a_doubt(
    server: TicketServer, sink: WebhookSink, first: Posting
) -> None:
    def silent(_request: Request) -> None:
        raise NoAnswer

    server.handled = silent

    with pytest.raises(TicketNotDelivered, match="may not have been delivered") as caught:
        sink.post(first)

    assert caught.value.doubtful


def test_a_server_that_is_down_leaves_no_doubt(first: Posting) -> None:
    sink = WebhookSink(
        WebhookSettings(url=Secret("http://127.0.0.1:9/hook"), secret=Secret(SECRET))
    )

    with pytest.raises(TicketNotDelivered, match="ConnectionRefusedError") as caught:
        sink.post(first)

    assert not caught.value.doubtful


def test_what_is_secret_is_named_so_that_it_can_be_cut_out(sink: WebhookSink) -> None:
    assert set(sink.secrets) == {SECRET, SECRET.removeprefix("whsec_"), "/capability/hook"}
