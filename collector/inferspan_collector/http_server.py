"""HTTP listeners: uvicorn, with the limits on connections that it lacks.

uvicorn waits for ever for the head of a request, for a client that reads its answer, and takes
heads of any length and connections of any number: each is a way to exhaust us without sending a
single request. Here each has a limit, and what is over it is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final, cast

import httptools
import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from inferspan_collector.http_bodies import Body
from inferspan_collector.http_uploads import READ_BYTES, Headers, UploadConnection, Uploads
from inferspan_collector.telemetry import REFUSED_REQUESTS, REQUESTS, Telemetry

GRACE_SECONDS: Final = 10
"""How long requests that are under way may take when the collector stops."""
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than exporters' intervals, so that they keep their connections."""
_OF_UPGRADES: Final = (b"upgrade", b"connection", b"http2-settings")
"""Headers that speak of another protocol; without `connection` it is kept."""


@dataclass(frozen=True, slots=True)
class Patience:
    """What a connection may take without being a request, or an answer that is read."""

    head_seconds: float = 10.0
    """For a request's head, from its first byte; on a new connection, from its start."""
    unread_seconds: float = 60.0
    """For reading nothing of an answer that waits."""
    head_bytes: int = 64 * 1024
    """For a head, trailers, chunk extensions: whatever brings no body."""
    sweep_seconds: float = 1.0
    """Between two looks at all connections."""
    idle_seconds: int = KEEP_ALIVE_SECONDS
    """For the next request, after an answer."""
    grace_seconds: int = GRACE_SECONDS
    """For requests that are under way when the collector stops."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The loop that a collector runs in."""
    return uvloop.new_event_loop()


class Listener:
    """One HTTP port.

    Args:
        app: answers.
        socket: bound; it listens from `start` on.
        telemetry: counts what is refused before it is a request.
        transport: the port's name among the counters.
        gate: counts connections over all ports.
        tls: what it speaks TLS by; None = in the clear.
        patience: with clients.
        uploads: takes ordinary uploads in the clear, so that `app` never sees them.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        telemetry: Telemetry,
        transport: str,
        gate: Gate,
        tls: ssl.SSLContext | None = None,
        patience: Patience = Patience(),
        uploads: Uploads | None = None,
    ) -> None:
        self._socket = listener
        self._patience = patience
        # uvicorn makes protocols itself, from a class.
        own: dict[str, object] = {
            "gate": gate,
            "telemetry": telemetry,
            "transport_name": transport,
            "patience": patience,
        }
        protocol = type("_Protocol", (_Protocol,), own)
        self._config = uvicorn.Config(
            app,
            http=protocol,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=patience.idle_seconds,
            timeout_graceful_shutdown=patience.grace_seconds,
        )
        self._config.load()
        self._config.ssl = tls
        self._server = _Server(self._config)
        self._server.handshake_seconds = patience.head_seconds
        self._server.uploads = None if tls else uploads
        self._server.lifespan = self._config.lifespan_class(self._config)

    async def start(self) -> None:
        """Listen."""
        # The steps of `Server.serve`, which alone would not tell when the port is open.
        await self._server.startup(sockets=[self._socket])
        self._ticking = asyncio.create_task(self._server.main_loop())
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Accept nothing more, let requests under way end, but `patience.grace_seconds` at most."""
        self._server.should_exit = True
        await self._ticking
        await self._server.shutdown(sockets=[self._socket])
        for connection in tuple(self._server.server_state.connections):
            cast("_Protocol", connection).give_up()
        self._sweeping.cancel()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._patience.sweep_seconds)
            now = loop.time()
            for connection in tuple(self._server.server_state.connections):
                cast("_Protocol", connection).look(now)


class Gate:
    """Lets so many connections in at once, over all ports of a collector.

    Args:
        limit: of all together; one more is answered 503 and closed.
        first: the port that gets the last sixteenth alone: whoever asks whether the collector lives
            must not hear from senders that it does not.
    """

    def __init__(self, limit: int, first: str | None = None) -> None:
        self.limit = limit
        self.open = 0
        self._first = first

    def enter(self, transport: str) -> bool:
        """Count one connection more to a port; False where there is no room."""
        kept = 0 if self._first in (None, transport) else -(-self.limit // 16)
        if self.open >= self.limit - kept:
            return False
        self.open += 1
        return True

    def leave(self) -> None:
        """Count one less."""
        self.open -= 1


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and with an end to handshakes."""

    handshake_seconds: float
    uploads: Uploads | None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop, config, uploads = asyncio.get_running_loop(), self.config, self.uploads
        shared = bytearray(READ_BYTES)

        def protocol() -> asyncio.BaseProtocol:
            state: dict[str, Any] = {}
            http = cast("type[_Protocol]", config.http_protocol_class)(
                config, self.server_state, state, loop
            )
            if uploads is None:
                return http
            http.beside = UploadConnection(http, uploads, shared, loop, http.patience.idle_seconds)
            return http.beside

        self.servers = [
            await loop.create_server(
                protocol,
                sock=one,
                ssl=config.ssl,
                ssl_handshake_timeout=self.handshake_seconds if config.ssl else None,
                backlog=config.backlog,
            )
            for one in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _Protocol(HttpToolsProtocol):
    gate: Gate
    telemetry: Telemetry
    transport_name: str
    patience: Patience

    _running: RequestResponseCycle
    """The request that is being answered; `cycle` is the last that was read."""
    _let_in = False
    _head_since: float | None = None
    """When the head that we wait for began; None while none is awaited."""
    _fruitless = 0
    """Bytes that came since the last that brought a whole head or a part of a body."""
    _between = True
    """Whether the parser stands between two requests."""
    beside: UploadConnection | None = None
    """What ordinary uploads go to instead."""
    _unread: tuple[int, float] = (0, 0.0)
    """How much of an answer waits for the client, and since when it does not get less."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._let_in = self.gate.enter(self.transport_name)
        self._head_since = self.loop.time()
        if not self._let_in:
            self._turn_away(503, "connections", "as many connections are open as are taken at once")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._let_in:
            self._let_in = False
            self.gate.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_since is None and self._awaits_a_head:
            self._head_since = self.loop.time()
        self._fruitless += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._fruitless > self.patience.head_bytes and not self.transport.is_closing():
            rule = f"a head has {self.patience.head_bytes} bytes at most"
            self._turn_away(431, "head_too_large", rule)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or none that is served here."""
        self._count(400, "malformed")
        super().send_400_response(msg)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade as offered:
            # The parser takes what follows for another protocol, and the request for one without a
            # body: a POST would be answered, and what it brings be lost. Java's client offers h2c
            # with each first request; whoever does not want it goes on in HTTP/1.1 (RFC 9110, 7.8).
            method = self.parser.get_method()
            if method == b"CONNECT":
                self.send_400_response("CONNECT is not served here.")
                return
            version = self.parser.get_http_version().encode()
            head = [b"%b %b HTTP/%b" % (method, self.url, version)]
            head += [b"%b: %b" % pair for pair in self.headers if pair[0] not in _OF_UPGRADES]
            if any(n == b"connection" and b"close" in v.lower() for n, v in self.headers):
                head.append(b"connection: close")
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._feed(b"\r\n".join((*head, b"", b"")) + data[offered.args[0] :])

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that says it sends no more may still read the answers to its whole requests."""
        last = self.cycle
        if last is None or last.response_complete or self.scheme == "https":
            return None
        if last.more_body:
            if not self.pipeline:
                return None
            # Of several, the last will never be whole.
            self.pipeline.popleft()
            last = self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        last.keep_alive = False
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._head_since = None
        self._fruitless = 0
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            # Before the task that answers has begun to run.
            self._body = Body(self.cycle)
            self.cycle.receive = self._body.receive  # type: ignore[assignment, method-assign]

    def on_body(self, body: bytes) -> None:
        self._fruitless = 0
        if not self.cycle.response_complete:
            self._body.add(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._between = True
        self._fruitless = 0
        super().on_message_complete()

    @property
    def between(self) -> bool:
        """As of `OtherWay`, like its neighbours."""
        return self._between and self._awaits_a_head and not self.pipeline

    @property
    def default_headers(self) -> Headers:
        return self.server_state.default_headers

    def passed_by(self) -> None:
        self._head_since = None
        self._fruitless = 0
        self._unset_keepalive_if_required()

    def shutdown(self) -> None:
        """Called for each connection when the collector stops."""
        if self.beside is not None and self.beside.is_busy:
            self.beside.close_when_answered()
        else:
            super().shutdown()

    def give_up(self) -> None:
        """End what is still not answered then, if nothing else does."""
        if self.beside is not None:
            self.beside.give_up()

    @property
    def _awaits_a_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def look(self, now: float) -> None:
        """End the connection where its client is too slow."""
        if self.beside is not None:
            self.beside.look(now)
        seconds = self.patience.head_seconds
        if self._head_since is not None and now - self._head_since > seconds:
            if self._fruitless:
                self._turn_away(408, "too_slow", f"a head takes {seconds:g} s at most")
            else:
                self.transport.close()
            return
        waiting = self.transport.get_write_buffer_size()
        # More than before is not read either: whoever sends on is answered on.
        if not waiting or waiting < self._unread[0] or not self._unread[0]:
            self._unread = (waiting, now)
        elif now - self._unread[1] > self.patience.unread_seconds:
            self._count(408, "unread")
            self.transport.abort()

    def _turn_away(self, status: int, reason: str, message: str) -> None:
        self._count(status, reason)
        if self._awaits_a_head:
            more = "retry-after: 1\r\n" if status == 503 else ""
            self.transport.write(
                f"HTTP/1.1 {status} \r\ncontent-type: text/plain\r\n{more}"
                f"content-length: {len(message)}\r\nconnection: close\r\n\r\n{message}".encode()
            )
        self.transport.close()

    def _count(self, status: int, reason: str) -> None:
        self.telemetry.add(REQUESTS, transport=self.transport_name, code=str(status))
        self.telemetry.add(REFUSED_REQUESTS, transport=self.transport_name, reason=reason)
