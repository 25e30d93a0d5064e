"""A receiver over HTTP that answers as it is told."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator

PROTOBUF = {"Content-Type": "application/x-protobuf"}


class Server(http.server.ThreadingHTTPServer):
    """Takes every request, with a status, a body and headers as told."""

    status = 200
    body = b""
    headers: dict[str, str] = PROTOBUF
    clients: set[tuple[str, int]]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.clients = set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet: a client need not read an answer to its end."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.clients.add(self.client_address)
        self.send_response(self.server.status)
        for name, value in {
            "Content-Length": str(len(self.server.body)),
            **self.server.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)
        if int(self.server.headers.get("Content-Length", "0")) > len(self.server.body):
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
