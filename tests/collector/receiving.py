"""The HTTP receivers as they really run: their server on a free port, a client, a raw socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from inferspan_collector.http_server import Gate, Listener, Patience, new_event_loop
from inferspan_collector.http_uploads import Answer, Upload
from inferspan_collector.listening import bind
from inferspan_collector.telemetry import Telemetry

PATIENCE = Patience()


async def whole_body(receive: Receive) -> bytes | None:
    """A request's body; None where its client has gone."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        more = message["more_body"]
    return body


class Switch:
    """An application that is another one for every test, so that one server serves them all."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def begin(self, scope: Scope, length: int, answer: Answer) -> Upload | None:
        begin = getattr(self.app, "begin", None)
        return None if begin is None else begin(scope, length, answer)


@contextlib.contextmanager
def serving(
    app: ASGIApp,
    telemetry: Telemetry | None = None,
    *,
    connections: int = 1_000,
    patience: Patience = PATIENCE,
) -> Iterator[str]:
    """Serve an application until the block ends, as a collector does; gives its URL."""
    loop = new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    listener = bind("127.0.0.1:0")
    port = listener.getsockname()[1]
    server = Listener(
        app,
        listener,
        telemetry or Telemetry(),
        "api",
        Gate(connections),
        patience=patience,
        uploads=app if hasattr(app, "begin") else None,
    )
    try:
        call(server.start())
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            call(server.stop())
    finally:
        call(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A raw connection, for what no client would send."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def answer_on(connection: socket.socket) -> tuple[int, bytes]:
    """The status and the body of the next answer on a raw connection."""
    head, _, body = b"", b"", b""
    while b"\r\n\r\n" not in head:
        head += _read(connection)
    head, _, body = head.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    while len(body) < length:
        body += _read(connection)
    return int(head.split(b" ", 2)[1]), body


def _read(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data
