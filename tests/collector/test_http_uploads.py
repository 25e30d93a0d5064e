"""Ordinary uploads and all other requests, on one connection: who sends them sees no difference."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from receiving import answer_on, connected, serving, whole_body
from starlette.types import Receive, Scope, Send

from inferspan_collector.config import Limits
from inferspan_collector.decode import warm
from inferspan_collector.http_server import Patience
from inferspan_collector.http_uploads import LATER_BYTES_MAX, Answer
from inferspan_collector.receivers import otlp_http
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.waking import Waker
from inferspan_collector.telemetry import REFUSED_REQUESTS, REQUESTS, Telemetry
from inferspan_collector.testing import RecordingSink, prediction_span, traces_request
from waiting import wait_until

PATIENT = Patience(sweep_seconds=0.05, grace_seconds=1)
RELEASE = b"GET /release HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"


class Echo:
    """Answers with the body, by either way; `holding` leaves uploads unanswered until `RELEASE`."""

    def __init__(self) -> None:
        self.holding = False
        self.taken: list[EchoUpload] = []
        self.gone = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await whole_body(receive)
        if body is None:
            return
        if scope["path"] == "/release":
            for upload in self.taken:
                upload.say(200, b"late")
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def begin(self, scope: Scope, length: int, answer: Answer) -> EchoUpload | None:
        if scope["path"] == "/other":
            return None
        self.taken.append(EchoUpload(self, length, answer))
        return self.taken[-1]


class EchoUpload:
    def __init__(self, echo: Echo, length: int, answer: Answer) -> None:
        self.memory = memoryview(bytearray(length))
        self._echo = echo
        self._answer = answer

    def whole(self) -> None:
        if not self._echo.holding:
            self.say(200, bytes(self.memory))

    def say(self, status: int, body: bytes = b"") -> None:
        self._answer(status, [(b"content-length", b"%d" % len(body))], body)

    def gone(self) -> None:
        self._echo.gone += 1

    def look(self, seconds: float, silent: float) -> None:
        pass

    def give_up(self) -> None:
        self.say(503)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Echo, str]]:
    echo = Echo()
    with serving(echo, patience=PATIENT) as url:
        yield echo, url


@pytest.fixture
def echo(shared: tuple[Echo, str]) -> tuple[Echo, str]:
    shared[0].holding, shared[0].gone = False, 0
    shared[0].taken.clear()
    return shared


def ordinary(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


def refused_by_its_head(body: bytes) -> bytes:
    return ordinary(body).replace(b"POST /", b"POST /other", 1)


def without_a_body(_: bytes) -> bytes:
    return b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"


def offering(form):
    """A form whose head offers to go on in HTTP/2, as Java's client does by itself."""

    def offered(body: bytes) -> bytes:
        offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
        return form(body).replace(b"Host: a\r\n", b"Host: a\r\n" + offer, 1)

    return offered


FORMS = (
    *(ordinary, chunked, refused_by_its_head, without_a_body),
    *(offering(ordinary), offering(chunked)),
)
"""`body` → a request, as bytes."""


@given(
    requests=st.lists(
        st.tuples(st.sampled_from(FORMS), st.binary(max_size=300)), min_size=1, max_size=6
    ),
    cuts=st.sets(st.integers(1, 2_000), max_size=8),
    ending=st.sampled_from([None, b"", b"POST", ordinary(b"cut")[:-1]]),
)
def test_whatever_comes_in_whatever_pieces_is_answered_in_order(
    shared: tuple[Echo, str], requests, cuts: set[int], ending: bytes | None
) -> None:
    """`ending`: what is sent of one more before that half of the connection is closed."""
    shared[0].holding = False  # whatever test ran before
    sent = b"".join(form(body) for form, body in requests) + (ending or b"")
    places = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
    with connected(shared[1]) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise(places):
            connection.sendall(sent[start:end])
        if ending is not None:
            connection.shutdown(socket.SHUT_WR)
        answers = _Answers(connection)
        for form, body in requests:
            assert answers.next() == (200, b"" if form is without_a_body else body)
        if ending is not None:
            assert connection.recv(1) == b""


class _Answers:
    """Answers that may come several at once."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._bytes = b""

    def next(self) -> tuple[int, bytes]:
        while b"\r\n\r\n" not in self._bytes:
            self._more()
        head, _, self._bytes = self._bytes.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(self._bytes) < length:
            self._more()
        body, self._bytes = self._bytes[:length], self._bytes[length:]
        return int(head.split(b" ", 2)[1]), body

    def _more(self) -> None:
        data = self._connection.recv(65536)
        assert data, "the connection was closed"
        self._bytes += data


def test_ordinary_uploads_are_taken_on_every_connection(echo: tuple[Echo, str]) -> None:
    for _ in range(2):
        with connected(echo[1]) as connection:
            for form in (ordinary, chunked, ordinary):
                connection.sendall(form(b"abc"))
                assert answer_on(connection) == (200, b"abc")
    assert len(echo[0].taken) == 4


def test_a_body_far_larger_than_what_is_read_at_once_comes_whole(echo: tuple[Echo, str]) -> None:
    body = bytes(range(256)) * 8192
    with connected(echo[1]) as connection:
        sending = threading.Thread(target=connection.sendall, args=(ordinary(body),))
        sending.start()
        assert answer_on(connection) == (200, body)
        sending.join()
    assert len(echo[0].taken) == 1


def test_who_sends_on_without_waiting_is_not_read_for_ever(echo: tuple[Echo, str]) -> None:
    server, url = echo
    server.holding = True
    later = bytes(LATER_BYTES_MAX * 200)
    with connected(url) as connection:
        connection.sendall(ordinary(b"first"))
        wait_until(lambda: len(server.taken) == 1, 20)
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.sendall(ordinary(later))


def test_a_sender_that_closes_within_its_body_is_gone(echo: tuple[Echo, str]) -> None:
    with connected(echo[1]) as connection:
        connection.sendall(ordinary(b"abc")[:-1])
        connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: echo[0].gone == 1, 20)
        assert connection.recv(1) == b""


def test_a_sender_that_has_said_all_still_reads_its_answer(echo: tuple[Echo, str]) -> None:
    server, url = echo
    server.holding = True
    with connected(url) as connection:
        connection.sendall(ordinary(b"abc"))
        connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: len(server.taken) == 1, 20)
        with connected(url) as other:
            other.sendall(RELEASE)
            assert answer_on(other)[0] == 200
        assert answer_on(connection) == (200, b"late")
        assert connection.recv(1) == b""


@pytest.mark.parametrize("second", FORMS)
def test_a_sender_that_has_said_all_reads_the_answers_to_all_of_it(
    echo: tuple[Echo, str], second
) -> None:
    server, url = echo
    server.holding = True
    with connected(url) as connection:
        connection.sendall(ordinary(b"abc") + second(b"d" * LATER_BYTES_MAX) + chunked(b"e"))
        connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: len(server.taken) == 1, 20)
        server.holding = False
        with connected(url) as other:
            other.sendall(RELEASE)
            assert answer_on(other)[0] == 200
        answers = _Answers(connection)
        assert answers.next() == (200, b"late")
        body = b"" if second is without_a_body else b"d" * LATER_BYTES_MAX
        assert [answers.next(), answers.next()] == [(200, body), (200, b"e")]
        assert connection.recv(1) == b""


def test_what_is_not_answered_at_the_stop_is_told_to_come_again() -> None:
    server = Echo()
    server.holding = True
    with contextlib.ExitStack() as stack:
        with serving(server, patience=PATIENT) as url:
            connection = stack.enter_context(connected(url))
            connection.sendall(ordinary(b"abc"))
            connection.shutdown(socket.SHUT_WR)
            wait_until(lambda: len(server.taken) == 1, 20)
        assert answer_on(connection)[0] == 503
        assert connection.recv(1) == b""


@pytest.mark.parametrize("form", [ordinary, chunked])
def test_a_connection_without_a_request_is_closed(form) -> None:
    patience = replace(PATIENT, idle_seconds=1)
    with serving(Echo(), patience=patience) as url, connected(url) as connection:
        connection.sendall(form(b"abc"))
        assert answer_on(connection) == (200, b"abc")
        assert connection.recv(1) == b""


def test_whoever_offers_another_protocol_and_closes_is_closed(echo: tuple[Echo, str]) -> None:
    sent = offering(ordinary)(b"abc").replace(b"Upgrade, ", b"close, Upgrade, ", 1)
    with connected(echo[1]) as connection:
        connection.sendall(sent)
        assert answer_on(connection) == (200, b"abc")
        assert connection.recv(1) == b""


# --- those of OTLP --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def warmed() -> None:
    """What decodes is compiled before a client waits for it."""
    warm()


def test_a_sender_that_falls_silent_within_a_body_is_told_so_and_holds_nothing() -> None:
    limits, telemetry = Limits(), Telemetry()
    budget = Budget(limits.queue_bytes, chunk_seconds=0.2)
    app = otlp_http.application(RecordingSink(), telemetry, limits, budget)
    with serving(app, patience=PATIENT) as url, connected(url) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        wait_until(lambda: budget.held == 1000, 20)
        assert answer_on(connection)[0] == 408
        assert connection.recv(1) == b""
        assert (budget.held, budget.bodies_under_way) == (0, 0)
    assert telemetry.get(REQUESTS, code="408") == 1
    assert telemetry.get(REFUSED_REQUESTS, reason="too_slow") == 1


def test_a_body_that_is_not_whole_at_the_stop_may_come_again() -> None:
    limits, telemetry = Limits(), Telemetry()
    budget = Budget.of(limits)
    app = otlp_http.application(RecordingSink(), telemetry, limits, budget)

    class Stopping(Echo):
        begin = app.begin

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            budget.stop()
            await super().__call__(scope, receive, send)

    with serving(Stopping(), patience=PATIENT) as url, connected(url) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        wait_until(lambda: budget.bodies_under_way == 1, 20)
        with connected(url) as other:
            other.sendall(RELEASE)
            assert answer_on(other)[0] == 200
        assert answer_on(connection)[0] == 503
    assert (budget.held, budget.requests) == (0, 0)


@pytest.mark.usefixtures("warmed")
def test_what_is_announced_and_does_not_come_leaves_room_for_others() -> None:
    limits, body = Limits(), traces_request([prediction_span("p")]).SerializeToString()
    budget = Budget(4_000)
    app = otlp_http.application(RecordingSink(), Telemetry(), limits, budget)
    with serving(app, patience=PATIENT) as url, contextlib.ExitStack() as stack:
        *silent, other = (stack.enter_context(connected(url)) for _ in range(9))
        for one in silent:
            one.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        wait_until(lambda: budget.held == 2_000, 20)
        other.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert answer_on(other)[0] == 200
        assert budget.held == 2_000
        for one in silent:
            one.close()
        wait_until(lambda: budget.held == 0, 20)


@pytest.mark.usefixtures("warmed")
def test_what_offers_to_go_on_in_http_2_is_stored_all_the_same() -> None:
    """An empty request, which it would be without its body, is a success."""
    limits, sink = Limits(), RecordingSink()
    app = otlp_http.application(sink, Telemetry(), limits, Budget.of(limits))
    body = traces_request([prediction_span("p")]).SerializeToString()
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    with serving(app, patience=PATIENT) as url, connected(url) as connection:
        for number in (1, 2):
            connection.sendall(HEAD + offer + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert answer_on(connection) == (200, b"")
            assert len(sink.predictions) == number


# --- from other threads to the loop ---------------------------------------------------------------


def test_all_that_threads_hand_over_runs_in_the_loop_in_their_order() -> None:
    ran: list[tuple[int, int]] = []

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        waker, thread = Waker(loop), threading.get_ident()

        def note(sender: int, number: int) -> None:
            assert threading.get_ident() == thread
            ran.append((sender, number))

        def hand_over(sender: int) -> None:
            for number in range(500):
                waker.call(lambda number=number: note(sender, number))

        await asyncio.gather(*(asyncio.to_thread(hand_over, sender) for sender in range(4)))
        while len(ran) < 2_000:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scene(), 20))
    for sender in range(4):
        assert [number for one, number in ran if one == sender] == list(range(500))


def test_what_is_handed_to_a_loop_that_has_ended_is_left_out() -> None:
    loop = asyncio.new_event_loop()
    waker = Waker(loop)
    loop.close()
    waker.call(lambda: pytest.fail("it ran"))
