"""A local HTTP server that records what sinks ask of it: a webhook, and JIRA's REST shape."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT = "OPS"


class NoAnswer(Exception):
    """Raised by a hook: the connection is closed without a response."""


@dataclass(frozen=True)
class Request:
    """One request that was handled."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class TicketServer:
    """What was received, and what happens around each request.

    A hook gets the request; it may raise `NoAnswer`, or kill whoever asks.
    """

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    """Those that took effect."""
    issues: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: int = 0
    """Answered to every request instead of handling it, if not 0."""
    hidden: int = 0
    """Searches that do not find anything yet: the index lags."""
    before: Callable[[Request], None] = lambda _request: None
    handled: Callable[[Request], None] = lambda _request: None
    answered: Callable[[Request], None] = lambda _request: None
    arrived: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def posts(self, path: str) -> list[Request]:
        """Return the POST requests to paths that end like this."""
        return [
            request
            for request in self.requests
            if request.method == "POST" and request.path.endswith(path)
        ]

    @property
    def comments(self) -> list[str]:
        return [comment["body"] for issue in self.issues.values() for comment in issue["comments"]]

    def handle(self, request: Request) -> tuple[int, Any]:
        """Let a request take effect; return status and body of the response."""
        if self.status:
            return self.status, {"errorMessages": ["refused"]}
        with self.arrived:
            self.requests.append(request)
            self.arrived.notify_all()
            return self._route(request)

    def _route(self, request: Request) -> tuple[int, Any]:
        path = urlsplit(request.path).path
        if path.endswith("/hook"):
            return 204, None
        if path.endswith("/field"):
            return 200, []
        if "/search" in path:
            return 200, self._search(request)
        if path.endswith("/issue"):
            return 201, self._create(json.loads(request.body))
        return self._issue(request, path.partition("/issue/")[2])

    def _issue(self, request: Request, place: str) -> tuple[int, Any]:
        key, _, rest = place.partition("/")
        if key not in self.issues:
            return 404, {"errorMessages": ["Issue does not exist"]}
        if not rest:
            return 200, self.issues[key]
        comments = self.issues[key]["comments"]
        if request.method == "GET":
            return 200, {"comments": comments, "total": len(comments)}
        comments.append({"id": str(len(comments) + 1), **json.loads(request.body)})
        return 201, comments[-1]

    def _create(self, body: dict[str, Any]) -> dict[str, str]:
        key = f"{PROJECT}-{len(self.issues) + 1}"
        status = {"name": "To Do", "statusCategory": {"key": "new"}}
        fields = {**body["fields"], "status": status}
        self.issues[key] = {"id": key, "key": key, "self": key, "fields": fields, "comments": []}
        return {"id": key, "key": key, "self": key}

    def _search(self, request: Request) -> dict[str, Any]:
        query = parse_qs(urlsplit(request.path).query).get("jql") or [
            json.loads(request.body)["jql"]
        ]
        (label,) = re.findall(r'labels = "([^"]+)"', query[0])
        found = [issue for issue in self.issues.values() if label in issue["fields"]["labels"]]
        if self.hidden:
            self.hidden -= 1
            found = []
        return {
            "issues": found[::-1],
            "total": len(found),
            "startAt": 0,
            "maxResults": 20,
            "isLast": True,
        }


@contextmanager
def serving() -> Iterator[TicketServer]:
    """Run a server on a free port of this machine."""
    state = TicketServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, self.rfile.read(length))
            self.close_connection = True
            try:
                state.before(request)
                status, answer = state.handle(request)
                state.handled(request)
            except NoAnswer:
                return
            body = b"" if answer is None else json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.send_header("connection", "close")
                if 300 <= status < 400:
                    self.send_header("location", f"{state.url}/elsewhere")
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()
            except OSError:
                # Whoever asked may have been killed by a hook.
                return
            state.answered(request)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
