"""The jira sink: the real library against a server with JIRA's REST shape."""

import base64

import msgspec
import pytest

from maestro_actors.help.posting import Posting
from maestro_runtime.config.tickets import JiraSettings
from maestro_runtime.redaction import Secret
from maestro_runtime.tickets import TicketNotDelivered
from maestro_runtime.tickets.jira import JiraSink
from ticket_server import NoAnswer, Request, TicketServer

TOKEN = "token-of-the-account"


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that were made."""
    return []


@pytest.fixture(params=["", "me@example.org"], ids=["server", "cloud"])
def sink(request: pytest.FixtureRequest, server: TicketServer, pauses: list[float]) -> JiraSink:
    settings = JiraSettings(url=server.url, email=request.param, token=Secret(TOKEN), project="OPS")
    return JiraSink(settings, pause=pauses.append)


def in_doubt(posting: Posting) -> Posting:
    return msgspec.structs.replace(posting, doubtful=True)


def test_the_first_posting_is_searched_for_then_created_with_its_labels(
    server: TicketServer, sink: JiraSink, first: Posting
) -> None:
    assert sink.post(first) == "OPS-1"

    fields = server.issues["OPS-1"]["fields"]
    assert fields["labels"] == [
        "maestro",
        f"maestro-{first.fingerprint}",
        f"maestro-{first.posting_id}",
    ]
    assert fields["summary"] == "s-1/note: failed_check: exit code 2"
    assert "help-needed answer s-1 note --skip" in fields["description"]
    kinds = [request.path.partition("?")[0].rsplit("/", 1)[1] for request in server.requests]
    assert kinds[-2:] in (["search", "issue"], ["jql", "issue"])
    assert len(server.posts("/issue")) == 1


def test_the_account_signs_in_by_email_in_the_cloud_and_by_token_elsewhere(
    server: TicketServer, sink: JiraSink, first: Posting
) -> None:
    sink.post(first)

    basic = base64.b64encode(f"me@example.org:{TOKEN}".encode()).decode()
    (authorization,) = {request.headers["authorization"] for request in server.requests}
    assert authorization in (f"Bearer {TOKEN}", f"Basic {basic}")
    in_cloud = authorization.startswith("Basic")
    (searched,) = (request.path for request in server.requests if "/search" in request.path)
    assert searched.partition("?")[0].endswith("/search/jql") == in_cloud


def test_a_posting_that_has_been_created_is_found_instead_of_created_again(
    server: TicketServer, sink: JiraSink, first: Posting
) -> None:
    sink.post(first)

    assert sink.post(in_doubt(first)) == "OPS-1"

    assert len(server.issues) == 1
    assert server.comments == []


def test_an_index_that_lags_is_asked_again_before_anything_is_created(
    server: TicketServer, sink: JiraSink, first: Posting, pauses: list[float]
) -> None:
    sink.post(first)
    server.hidden = 2

    assert sink.post(in_doubt(first)) == "OPS-1"

    assert len(server.issues) == 1
    assert pauses == [20.0, 40.0]


def test_a_posting_in_doubt_that_is_found_nowhere_is_created(
    server: TicketServer, sink: JiraSink, first: Posting, pauses: list[float]
) -> None:
    assert sink.post(in_doubt(first)) == "OPS-1"

    assert sum(pauses) == 60.0
    assert len(server.issues) == 1


def test_a_repetition_is_a_comment_on_the_open_issue_exactly_once(
    server: TicketServer, sink: JiraSink, first: Posting, second: Posting
) -> None:
    sink.post(first)
    server.hidden = 99

    keys = {sink.post(second), sink.post(in_doubt(second))}

    assert keys == {"OPS-1"}
    assert len(server.issues) == 1
    (comment,) = server.comments
    assert f"Reference: {second.posting_id}" in comment


@pytest.mark.parametrize("fate", ["closed", "deleted"])
def test_a_repetition_of_an_issue_that_is_closed_or_gone_is_a_new_issue(
    server: TicketServer, sink: JiraSink, first: Posting, second: Posting, fate: str
) -> None:
    sink.post(first)
    server.issues["OPS-1"]["fields"]["status"]["statusCategory"]["key"] = "done"
    if fate == "deleted":
        server.issues["OPS-0"] = server.issues.pop("OPS-1")
        server.issues["OPS-0"]["key"] = "OPS-0"

    key = sink.post(second)

    assert key == "OPS-2"
    assert server.comments == []
    assert sink.post(in_doubt(second)) == key


def test_a_reference_of_another_sink_is_not_asked_for(
    server: TicketServer, sink: JiraSink, second: Posting
) -> None:
    elsewhere = msgspec.structs.replace(second, reference="/var/maestro/state/tickets/f.md")

    assert sink.post(elsewhere) == "OPS-1"

    assert not any("/issue/" in request.path for request in server.requests)


@pytest.mark.parametrize(("status", "doubtful"), [(400, False), (403, False), (503, True)])
def test_of_a_creation_only_a_refusal_is_certain_and_nothing_is_retried(
    server: TicketServer, sink: JiraSink, first: Posting, *, status: int, doubtful: bool
) -> None:
    asked: list[str] = []

    def refuse_creation(request: Request) -> None:
        asked.append(request.path)
        server.status = status if request.path.endswith("/issue") else 0

    server.before = refuse_creation

    with pytest.raises(TicketNotDelivered) as caught:
        sink.post(first)

    assert caught.value.doubtful == doubtful
    assert caught.value.reason == f"status {status}: refused"
    assert len([path for path in asked if path.endswith("/issue")]) == 1


def test_a_search_that_fails_leaves_no_doubt(
    server: TicketServer, sink: JiraSink, first: Posting
) -> None:
    server.status = 503

    with pytest.raises(TicketNotDelivered) as caught:
        sink.post(first)

    assert not caught.value.doubtful


def test_a_response_that_never_comes_leaves_a_doubt_and_no_second_issue(
    server: TicketServer, sink: JiraSink, first: Posting
) -> None:
    def silent(request: Request) -> None:
        if request.path.endswith("/issue"):
            raise NoAnswer

    server.handled = silent
    with pytest.raises(TicketNotDelivered) as caught:
        sink.post(first)

    assert caught.value.doubtful
    assert sink.post(in_doubt(first)) == "OPS-1"
    assert len(server.issues) == 1


def test_a_server_that_is_down_leaves_no_doubt(first: Posting) -> None:
    settings = JiraSettings(url="http://127.0.0.1:9", email="", token=Secret(TOKEN), project="OPS")

    with pytest.raises(TicketNotDelivered, match="ConnectionError") as caught:
        JiraSink(settings).post(first)

    assert not caught.value.doubtful
    assert TOKEN not in str(caught.value)


def test_evidence_cannot_leave_its_block_and_long_text_is_cut(
    server: TicketServer, sink: JiraSink, first: Posting
) -> None:
    evidence = ("{noformat}h1. forged", *["x" * 500] * 100)
    long = msgspec.structs.replace(
        first, ticket=msgspec.structs.replace(first.ticket, evidence=evidence)
    )

    sink.post(long)

    description = server.issues["OPS-1"]["fields"]["description"]
    assert description.count("{noformat}") == 2
    assert len(description) < 32_767
    assert f"Reference: {first.posting_id}\n" in description
