"""Connections that are no requests: slow, endless, half-closed, too many; none harms another."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from receiving import Switch, answer_on, connected, serving, whole_body
from starlette.types import Receive, Scope, Send

from inferspan_collector.http_server import Patience
from inferspan_collector.receivers.failures import Failure, answered
from inferspan_collector.telemetry import REFUSED_REQUESTS, REQUESTS, Telemetry
from waiting import wait_until

PATIENT = Patience(head_bytes=8192, sweep_seconds=0.05, grace_seconds=1)
HASTY = replace(PATIENT, head_seconds=1.0, unread_seconds=0.5)
"""Long enough for a client on a busy machine to say what it wants to say."""
CONNECTIONS = 8
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body, or with as many bytes as the path says."""
    wanted = scope["path"].removeprefix("/")
    body = await whole_body(receive)
    if body is None:
        return
    if wanted.isdigit():
        body = bytes(int(wanted))
    await respond(send, body)


async def respond(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server:
    def __init__(self, url: str, switch: Switch, telemetry: Telemetry) -> None:
        self.url = url
        self.switch = switch
        self.telemetry = telemetry
        switch.app = echo

    def refused(self, reason: str) -> int:
        return self.telemetry.get(REFUSED_REQUESTS, transport="api", reason=reason)

    def answers(self) -> bool:
        """Whether a new client is served."""
        try:
            with connected(self.url) as other:
                other.sendall(GET)
                return answer_on(other)[0] == 200
        except ConnectionError:
            return False


@pytest.fixture
def server() -> Iterator[Server]:
    with served(PATIENT) as running:
        yield running


@pytest.fixture
def hasty() -> Iterator[Server]:
    """It waits for nobody."""
    with served(HASTY) as running:
        yield running


@contextlib.contextmanager
def served(patience: Patience) -> Iterator[Server]:
    switch, telemetry = Switch(), Telemetry()
    with serving(switch, telemetry, connections=CONNECTIONS, patience=patience) as url:
        yield Server(url, switch, telemetry)


def ended(connection: socket.socket) -> bool:
    """Wait until the server ends the connection."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return True


# --- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"POST / HT", GET[:-2], GET[:-2] + b"X-One: 1\r\n", b"\r\n"])
def test_a_head_that_does_not_end_is_given_up(hasty: Server, sent: bytes) -> None:
    with connected(hasty.url) as slow:
        slow.sendall(sent)
        code, _ = answer_on(slow)
        assert code == 408
        assert ended(slow)
    assert hasty.refused("too_slow") == 1
    assert hasty.telemetry.get(REQUESTS, transport="api", code="408") == 1
    assert hasty.answers()


def test_a_head_that_drips_is_given_up_all_the_same(hasty: Server) -> None:
    stopped = threading.Event()
    with connected(hasty.url) as slow:
        slow.sendall(GET[:-2])

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stopped.wait(0.02):
                    slow.sendall(b"X: y\r\n")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert answer_on(slow)[0] == 408
        finally:
            stopped.set()
            dripping.join()


def test_a_connection_that_says_nothing_is_closed_without_a_word(hasty: Server) -> None:
    with connected(hasty.url) as silent:
        assert silent.recv(100) == b""
    assert hasty.refused("too_slow") == 0


def test_the_next_request_of_a_connection_has_a_time_of_its_own(hasty: Server) -> None:
    with connected(hasty.url) as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert answer_on(connection)[0] == 200
        connection.sendall(GET[:-2])
        assert answer_on(connection)[0] == 408


@pytest.mark.parametrize(
    "endless",
    [
        b"X: y\r\n",
        b"x",
        b"X: " + b"y" * 4000,
    ],
    ids=["headers", "a name", "values"],
)
def test_a_head_without_end_is_refused_at_its_limit(server: Server, endless: bytes) -> None:
    with connected(server.url) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(GET[:-2])
        for _ in range(3 * PATIENT.head_bytes // len(endless)):
            connection.sendall(endless)
        code, _ = answer_on(connection)
        # A parser that gives up by itself says 400.
        assert code in (400, 431)
        assert ended(connection)
    assert server.answers()


def test_trailers_without_end_are_cut(server: Server) -> None:
    with connected(server.url) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        )
        with contextlib.suppress(ConnectionError):
            for _ in range(3 * PATIENT.head_bytes // 6):
                connection.sendall(b"X: y\r\n")
        assert ended(connection)
    wait_until(lambda: server.refused("head_too_large") == 1, 20)
    assert server.answers()


def test_what_is_no_http_is_refused(server: Server) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00", b"SSH-2.0-OpenSSH_9.6\r\n", b"GET\r\n\r\n"):
        with connected(server.url) as connection:
            connection.sendall(sent)
            assert answer_on(connection)[0] == 400
    assert server.refused("malformed") == 3
    assert server.telemetry.get(REQUESTS, transport="api", code="400") == 3
    assert server.answers()


# --- bodies, and answers --------------------------------------------------------------------------


def test_a_large_body_arrives_as_it_was_sent(server: Server) -> None:
    body = bytes(range(256)) * 8192
    with connected(server.url) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
        sending = threading.Thread(target=connection.sendall, args=(body,))
        sending.start()
        assert answer_on(connection) == (200, body)
        sending.join()


def test_a_body_in_chunks_arrives_as_it_was_sent(server: Server) -> None:
    with connected(server.url) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (b"1\r\na\r\n", b"3;ext=1\r\nbcd\r\n", b"0\r\nTrailer: 1\r\n\r\n"):
            connection.sendall(part)
        assert answer_on(connection) == (200, b"abcd")


def test_a_client_that_waits_for_100_is_told_to_go_on(server: Server) -> None:
    with connected(server.url) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"ab")
        assert answer_on(connection) == (200, b"ab")


def test_requests_one_behind_the_other_are_answered_in_order(server: Server) -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d"
    with connected(server.url) as connection:
        connection.sendall(b"".join(post % i for i in range(5)))
        answers = b""
        while answers.count(b"\r\n\r\n") < 5 or not answers.endswith(b"4"):
            more = connection.recv(65536)
            assert more
            answers += more
    heads_and_bodies = answers.split(b"\r\n\r\n")
    assert [part[:1] for part in heads_and_bodies[1:]] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_client_that_has_said_all_still_reads_its_answer(server: Server) -> None:
    entered, proceed = threading.Event(), threading.Event()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        entered.set()
        await asyncio.to_thread(proceed.wait)
        await respond(send, b"late")

    server.switch.app = late
    with connected(server.url) as connection:
        connection.sendall(GET)
        connection.shutdown(socket.SHUT_WR)
        assert entered.wait(20)
        proceed.set()
        assert answer_on(connection) == (200, b"late")
        assert ended(connection)


def test_a_client_that_closes_within_its_body_is_gone(server: Server) -> None:
    seen: list[str] = []

    async def watching(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            seen.append(message["type"])
        seen.append("gone")

    server.switch.app = watching
    with connected(server.url) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: "gone" in seen, 20, "the end of the request to be seen")
    server.switch.app = echo
    assert server.answers()


def test_an_answer_that_nobody_reads_is_given_up(hasty: Server) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = hasty.url.removeprefix("http://").rpartition(":")
        connection.connect((host, int(port)))
        connection.sendall(b"GET /50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: hasty.refused("unread") == 1, 20, "the client to be given up")
    assert hasty.answers()


# --- how many, and the end ------------------------------------------------------------------------


def test_connections_beyond_the_limit_are_told_to_come_again(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(connected(server.url)) for _ in range(CONNECTIONS)]
        for connection in first:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
        surplus = stack.enter_context(connected(server.url))
        head = surplus.recv(1000).lower()
        assert head.startswith(b"http/1.1 503")
        assert b"\r\nretry-after: 1\r\n" in head
        assert ended(surplus)
        for connection in first:
            connection.sendall(b"a")
            assert answer_on(connection) == (200, b"a")
    assert server.refused("connections") == 1
    wait_until(server.answers, 20, "places to be free again")


def test_a_request_that_is_not_answered_in_time_at_the_stop_may_come_again() -> None:
    switch, telemetry = Switch(), Telemetry()
    entered = threading.Event()

    async def never() -> int:
        entered.set()
        await asyncio.Event().wait()
        return 200

    def refusing(failure: Failure) -> int:
        return failure.status

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        status = await answered(never(), refusing, telemetry, "api")
        assert status is not None
        await respond(send, b"", status)

    switch.app = app
    with contextlib.ExitStack() as stack:
        with serving(switch, telemetry, patience=PATIENT) as url:
            connection = stack.enter_context(connected(url))
            connection.sendall(GET)
            assert entered.wait(20)
        assert answer_on(connection)[0] == 503
    assert telemetry.get(REFUSED_REQUESTS, reason="stopping") == 1
