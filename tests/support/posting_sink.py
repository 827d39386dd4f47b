"""A receiver of webhooks: a process that outlives who posts, and keeps what is posted."""

import socket
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import msgspec

from billing_server import broken_off

BOUND_SECONDS: Final = 20.0


class Posted(msgspec.Struct, frozen=True):
    """One request that was received whole."""

    webhook_id: str
    body: str


def posted(port: int, log: Path) -> list[Posted]:
    """Return all that was posted by runtimes that have ended."""
    connection = HTTPConnection("127.0.0.1", port, timeout=BOUND_SECONDS)
    # It serves one after the other: who asks last is answered when all before have been.
    connection.request("GET", "/")
    connection.getresponse()
    connection.close()
    if not log.exists():
        return []
    return [msgspec.json.decode(line, type=Posted) for line in log.read_bytes().splitlines()]


def serve(listener: socket.socket, log: str, *, breaks_off: bool) -> None:
    """Take what is posted, for ever: one request after the other.

    If it breaks off connections, some postings are taken and not answered, but for the second time.
    """
    seen: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        timeout = BOUND_SECONDS

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            # Whoever was killed before it had said all has posted nothing.
            if len(body) == length:
                posting_id = self.headers["webhook-id"]
                line = msgspec.json.encode(Posted(posting_id, body.decode()))
                with Path(log).open("ab") as file:
                    file.write(line + b"\n")
                if not breaks_off or posting_id in seen or not broken_off(posting_id):
                    self._answer()
                seen.add(posting_id)

        def _answer(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing."""

    class Server(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Who asked may have been killed before the answer."""

    server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()
