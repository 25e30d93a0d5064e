"""The HTTP receivers as they really run: uvicorn on a free port, an HTTP client, a raw socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from inferspan_collector.listening import bind


class Switch:
    """An application that is another one for every test, so that one server serves them all."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application until the block ends; gives its `http://127.0.0.1:PORT`."""
    with contextlib.closing(bind("127.0.0.1:0")) as listener:
        # Connections wait in the backlog until uvicorn is up, so nobody has to wait for it here.
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


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
