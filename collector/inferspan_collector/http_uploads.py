"""Ordinary uploads: a body of announced length goes straight into memory of its own, and the answer
straight back.

What exporters send nearly always is a POST whose head comes whole and says how long its body is.
Such a request needs no task, and its body no copy: together that is most of what receiving costs.
Everything else, and whatever a head alone shows to be refused, goes the way of `http_server`, which
sees the same bytes; a connection may change from one to the other with each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

READ_BYTES: Final = 256 * 1024
"""Read at once where no body is awaited; the memory is shared by all connections of a port."""
HEAD_BYTES_MAX: Final = 8 * 1024
"""Of a head that is looked at here; a longer one goes the other way."""
LATER_BYTES_MAX: Final = 64 * 1024
"""Of requests behind one that is not answered yet, until the connection is not read any more."""
_END: Final = b"\r\n\r\n"
_ODD: Final = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"trailer"))

Headers = Sequence[tuple[bytes, bytes]]
Answer = Callable[[int, Headers, bytes], None]
"""To be called once, in the event loop, with status, headers and body."""


class Upload(Protocol):
    """A request on its way in. Whoever takes it calls its `Answer` at any time, but once."""

    memory: memoryview
    """Where its body goes: as long as was announced."""

    def whole(self) -> None:
        """All of it has come. Never raises."""

    def gone(self) -> None:
        """Its sender has gone before that: nobody can be answered."""

    def look(self, seconds: float, silent: float) -> None:
        """Give up a body that is read for so long, or whose sender is silent for so long."""

    def give_up(self) -> None:
        """Answer now that the request has to come again: the time to stop in is over."""


class Uploads(Protocol):
    """What takes ordinary uploads."""

    def begin(self, scope: Scope, length: int, answer: Answer) -> Upload | None:
        """Take a request whose head has come; None leaves it to the application.

        Args:
            scope: `method`, `path`, `headers` and `server`, as in ASGI.
            length: of its body, more than 0.
            answer: answers it.
        """


class Application(Uploads, Protocol):
    """An ASGI application that takes ordinary uploads too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As of ASGI."""


class OtherWay(Protocol):
    """The protocol that everything else is handed to, as bytes."""

    server: tuple[str, int | None] | None

    @property
    def between(self) -> bool:
        """Whether it has no request, nor a part of one."""

    @property
    def default_headers(self) -> Headers:
        """What every answer says: the date."""

    def passed_by(self) -> None:
        """A request goes the other way: what it awaited has come."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """As of `asyncio.Protocol`, like its neighbours."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""

    def data_received(self, data: bytes) -> None:
        """Some bytes."""

    def eof_received(self) -> bool | None:
        """The client sends no more; true keeps the connection."""

    def pause_writing(self) -> None:
        """The client reads too slowly."""

    def resume_writing(self) -> None:
        """It reads again."""


class UploadConnection(asyncio.BufferedProtocol):
    """One connection.

    Args:
        other: what goes the other way.
        uploads: takes what is ordinary.
        shared: where heads are read to; used up before another connection reads.
        loop: that it runs in.
        idle_seconds: how long a connection is kept without a request.
    """

    def __init__(
        self,
        other: OtherWay,
        uploads: Uploads,
        shared: bytearray,
        loop: asyncio.AbstractEventLoop,
        idle_seconds: float,
    ) -> None:
        self._other = other
        self._uploads = uploads
        self._shared = shared
        self._loop = loop
        self._idle_seconds = idle_seconds
        self._upload: Upload | None = None
        self._length = self._filled = 0
        self._began = self._heard = 0.0
        self._idle_since: float | None = None
        self._keep = True
        self._ended = False
        """Whether the client has said that it sends no more."""
        self._later = b""
        self._paused = False
        self._unread = self._held_back = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As of `asyncio.BufferedProtocol`, like its neighbours."""
        self._transport = transport
        self._other.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever takes a body that will never be whole is told."""
        upload, self._upload = self._upload, None
        if upload is not None and self._filled < self._length:
            upload.gone()
        self._other.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Who has said all may still read the answers to all its whole requests."""
        self._ended = True
        return self._has_more_to_answer()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._unread = True
        self._other.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._unread = False
        self._other.resume_writing()
        if self._held_back:
            self._held_back = False
            self._read_on()
            self._go_on()

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        """Where to read to: what is left of a body, or what heads are read to."""
        if self._upload is not None and self._filled < self._length:
            return self._upload.memory[self._filled :]
        return self._shared

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        if self._upload is not None and self._filled < self._length:
            self._filled += nbytes
            if self._filled == self._length:
                self._upload.whole()
            else:
                self._heard = self._loop.time()
        elif self._upload is not None or self._later:
            self._wait_with(bytes(memoryview(self._shared)[:nbytes]))
        else:
            self._received(self._shared, nbytes)

    @property
    def is_busy(self) -> bool:
        """Whether an upload has not been answered yet."""
        return self._upload is not None

    def close_when_answered(self) -> None:
        """Keep the connection for no further request."""
        self._keep = False

    def give_up(self) -> None:
        """End what has not been answered yet."""
        if self._upload is not None:
            self._upload.give_up()

    def look(self, now: float) -> None:
        """End the connection where its client is too slow, or has nothing more to say."""
        if self._upload is not None:
            if self._filled < self._length:
                self._upload.look(now - self._began, now - self._heard)
        elif self._idle_since is not None and now - self._idle_since > self._idle_seconds:
            self._transport.close()

    def _received(self, data: bytes | bytearray, count: int) -> None:
        if self._other.between and not self._transport.is_closing() and self._begin(data, count):
            return
        self._idle_since = None
        self._other.data_received(bytes(memoryview(data)[:count]))

    def _begin(self, data: bytes | bytearray, count: int) -> bool:
        """Begin with a request if it is an ordinary upload."""
        end = data.find(_END, 0, min(count, HEAD_BYTES_MAX))
        if end < 0:
            return False
        end += len(_END)
        found = _ordinary(bytes(memoryview(data)[:end]), self._other.server)
        if found is None:
            return False
        scope, length = found
        upload = self._uploads.begin(scope, length, self._answer)
        if upload is None:
            return False
        self._other.passed_by()
        self._upload, self._length, self._idle_since = upload, length, None
        self._began = self._heard = self._loop.time()
        self._filled = filled = min(count - end, length)
        content = memoryview(data)
        upload.memory[:filled] = content[end : end + filled]
        if end + filled < count:
            self._wait_with(bytes(content[end + filled : count]))
        if filled == length:
            upload.whole()
        return True

    def _wait_with(self, data: bytes) -> None:
        """Keep what came behind a request that is not answered yet."""
        self._later += data
        if len(self._later) > LATER_BYTES_MAX and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _answer(self, status: int, headers: Headers, body: bytes) -> None:
        if self._upload is None:  # its sender has gone
            return
        whole = self._filled == self._length
        self._upload = None
        if self._transport.is_closing():
            return
        last = not (whole and self._keep) or (self._ended and not self._later)
        lines = [b"%b: %b\r\n" % pair for pair in (*self._other.default_headers, *headers)]
        if last:
            lines.append(b"connection: close\r\n")
        self._transport.write(b"".join((STATUS_LINE[status], *lines, b"\r\n", body)))
        if last:
            self._transport.close()
            return
        self._idle_since = self._loop.time()
        if self._unread:
            # Read on once its answers are read: they would take memory without end.
            self._held_back = True
            self._transport.pause_reading()
            return
        if self._later:
            # Not from here: many small requests may wait, and each would stand on the one before.
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._transport.is_closing():
            return
        if self._paused:
            self._paused = False
            self._read_on()
        later, self._later = self._later, b""
        if self._upload is not None:
            self._wait_with(later)
        elif later:
            self._received(later, len(later))
        if self._ended and not self._has_more_to_answer():
            self._transport.close()

    def _has_more_to_answer(self) -> bool:
        """Whether there is a whole request, or what may be one, once no more comes."""
        if self._upload is not None:
            return self._filled == self._length
        return bool(self._later or self._other.eof_received())

    def _read_on(self) -> None:
        # Its end would be read again.
        if not self._ended:
            self._transport.resume_reading()


class _Head:
    """What httptools finds in a head."""

    __slots__ = ("complete", "headers", "lengths", "odd", "url")

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.lengths: list[bytes] = []
        self.odd = False
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length":
            self.lengths.append(value)
        elif name in _ODD:
            self.odd = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True


def _ordinary(content: bytes, server: tuple[str, int | None] | None) -> tuple[Scope, int] | None:
    """The scope of an ordinary upload and the length of its body; None where a head is not one."""
    if not content.startswith(b"POST /"):
        return None
    head = _Head()
    parser = httptools.HttpRequestParser(head)
    try:
        parser.feed_data(content)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    if not head.complete or head.odd or len(head.lengths) != 1 or not head.lengths[0].isdigit():
        return None
    if b"%" in head.url or b"?" in head.url or b"#" in head.url:
        return None
    length = int(head.lengths[0])
    if length == 0 or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
        return None
    scope = {
        "type": "http",
        "method": "POST",
        "path": head.url.decode("latin-1"),
        "headers": head.headers,
        "server": server,
    }
    return scope, length
