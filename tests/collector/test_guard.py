"""Web pages stay out: DNS rebinding, cross-site requests and preflights are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from receiving import Switch, answer_on, connected, serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inferspan_collector import telemetry as counters
from inferspan_collector.receivers.guard import Guard
from inferspan_collector.telemetry import Telemetry

JAEGER = "http://jaeger.example:16686"
QUALITY = "/jaeger/quality-metrics"


async def method(request: Request) -> Response:
    return JSONResponse({"method": request.method}, headers={"vary": "Accept"})


class Guarded:
    """A guarded application on a real port, and its counters."""

    def __init__(self, url: str, telemetry: Telemetry) -> None:
        self.url = url
        self.port = url.rpartition(":")[2]
        self.telemetry = telemetry

    def request(self, method: str = "GET", path: str = "/x", **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(method, f"{self.url}{path}", headers=sent)

    def refused(self) -> int:
        return self.telemetry.get(counters.REQUESTS, transport="api", code="403")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Switch, str]]:
    switch = Switch()
    with serving(switch) as url:
        yield switch, url


@pytest.fixture
def guarded(server: tuple[Switch, str]) -> Guarded:
    switch, url = server
    telemetry = Telemetry()
    methods = ["GET", "HEAD", "POST", "OPTIONS"]
    switch.app = Guard(
        Starlette(routes=[Route("/{path:path}", method, methods=methods)]),
        telemetry,
        "api",
        allowed_hosts=["Quality.Example"],
        readable_from={QUALITY: JAEGER + "/search"},
    )
    return Guarded(url, telemetry)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:4319", "localhost:4319", "LOCALHOST", "[::1]:4319", "[::1]"),
        *("quality.example", "quality.example:443"),
    ],
)
def test_known_hosts_pass(guarded: Guarded, host: str) -> None:
    assert guarded.request(host=host).status_code == 200
    assert guarded.refused() == 0


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:4319",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "10.0.0.1",
        ),
        *("localhost@evil.example", "[::2]:4319", "quality.example.", "127.0.0.2"),
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST", "OPTIONS"])
def test_foreign_hosts_are_refused(guarded: Guarded, host: str, verb: str) -> None:
    response = guarded.request(verb, host=host)
    assert response.status_code == 403
    problem = response.json()
    assert (problem["title"], problem["value"]) == ("Foreign host", host)
    assert "receivers.allowed_hosts" in problem["remedy"]
    assert guarded.refused() == 1


def test_the_address_a_connection_came_in_on_is_a_known_host(server: tuple[Switch, str]) -> None:
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append(scope)
        await Response()(scope, receive, send)

    switch, url = server

    async def as_if_from_outside(scope, receive, send) -> None:
        # As for a socket bound to all addresses, reached by one of this machine's.
        await Guard(app, Telemetry(), "api")({**scope, "server": ("10.1.2.3", 80)}, receive, send)

    switch.app = as_if_from_outside
    assert httpx.get(url, headers={"host": "10.1.2.3:4319"}).status_code == 200
    assert httpx.get(url, headers={"host": "10.1.2.4:4319"}).status_code == 403
    assert len(seen) == 1


def test_a_request_without_host_is_refused(guarded: Guarded) -> None:
    with connected(guarded.url) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        status, body = answer_on(connection)
    assert (status, json.loads(body)["value"]) == (403, "(none)")


def test_a_second_host_hides_nothing(guarded: Guarded, server: tuple[Switch, str]) -> None:
    switch, guard = server[0], server[0].app

    async def as_if_parsed_leniently(scope, receive, send) -> None:
        headers = [*scope["headers"], (b"host", b"evil.example")]
        await guard({**scope, "headers": headers}, receive, send)

    switch.app = as_if_parsed_leniently
    assert guarded.request(host="localhost").status_code == 403


@pytest.mark.parametrize("verb", ["GET", "POST"])
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:4319", "http://localhost:4319"),
        ("quality.example", "https://quality.example"),
        ("quality.example", "http://quality.example:80"),
        ("[::1]:4319", "http://[::1]:4319"),
    ],
)
def test_pages_of_our_own_pass(guarded: Guarded, verb: str, host: str, origin: str) -> None:
    response = guarded.request(verb, host=host, origin=origin)
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "", "http://localhost:3000", "http://127.0.0.1"),
        *(JAEGER, "file://", "http://[", "http://localhost:4319.evil.example"),
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST", "OPTIONS", "HEAD"])
def test_pages_of_others_are_refused(guarded: Guarded, verb: str, origin: str) -> None:
    response = guarded.request(verb, "/v1/labels", host="localhost:4319", origin=origin)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    assert guarded.refused() == 1
    if verb != "HEAD":
        assert response.json()["title"] == "Foreign origin"


def test_jaegers_page_may_read_its_reply(guarded: Guarded) -> None:
    response = guarded.request("GET", QUALITY + "?service=a", origin=JAEGER)
    assert response.status_code == 200
    assert json.loads(response.content) == {"method": "GET"}
    assert response.headers["access-control-allow-origin"] == JAEGER
    assert "access-control-allow-credentials" not in response.headers
    assert {part.strip() for part in response.headers["vary"].split(",")} == {"Accept", "Origin"}


@pytest.mark.parametrize(
    ("verb", "path", "origin"),
    [
        ("POST", QUALITY, JAEGER),
        ("GET", QUALITY + "-more", JAEGER),
        ("GET", "/api/v1/models", JAEGER),
        ("GET", QUALITY, "https://jaeger.example:16686"),
        ("GET", QUALITY, "http://jaeger.example"),
        ("GET", QUALITY, "http://evil.example"),
    ],
)
def test_nothing_else_is_open_to_it(guarded: Guarded, verb: str, path: str, origin: str) -> None:
    assert guarded.request(verb, path, origin=origin).status_code == 403


@pytest.mark.parametrize("url", ["jaeger.example:16686", "", "null", "http://[", "file:///jaeger"])
@pytest.mark.parametrize("origin", ["null", "", "jaeger.example:16686", "http://[", JAEGER])
@pytest.mark.parametrize("verb", ["GET", "OPTIONS"])
def test_an_address_that_is_none_opens_nothing(
    server: tuple[Switch, str], url: str, origin: str, verb: str
) -> None:
    switch, own = server
    app = Starlette(routes=[Route("/{path:path}", method)])
    switch.app = Guard(app, Telemetry(), "api", readable_from={QUALITY: url})
    headers = {"origin": origin, "access-control-request-method": "GET"}
    response = httpx.request(verb, f"{own}{QUALITY}", headers=headers)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


def test_a_preflight_for_reading_is_answered(guarded: Guarded) -> None:
    asked = {"origin": JAEGER, "access_control_request_method": "GET"}
    response = guarded.request("OPTIONS", QUALITY, **asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == JAEGER
    assert response.headers["access-control-allow-methods"] == "GET"


def test_a_preflight_for_writing_is_refused(guarded: Guarded) -> None:
    asked = {"origin": JAEGER, "access_control_request_method": "POST"}
    assert guarded.request("OPTIONS", QUALITY, **asked).status_code == 403
