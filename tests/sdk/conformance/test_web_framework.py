"""FastAPI: endpoints and dependencies of every kind, which it tells apart by inspection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import fastapi
import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse

from sdk.conformance.adapter import Adapter, Captured, Wrap


def ask(app: FastAPI, *paths: str) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(main())


def endpoint(x: int, scale: float = 1.0) -> dict[str, float]:
    """Scales a number."""
    return {"answer": x * scale}


async def async_endpoint(x: int, scale: float = 1.0) -> dict[str, float]:
    """Scales a number."""
    await asyncio.sleep(0)
    return {"answer": x * scale}


@pytest.mark.parametrize("function", [endpoint, async_endpoint], ids=lambda f: f.__name__)
def test_an_endpoint_answers_and_documents_itself_as_without_us(
    decorate: Wrap, captured: Captured, function: Callable[..., Any]
) -> None:
    def served(function: Callable[..., Any]) -> list[object]:
        app = FastAPI()
        app.get("/score")(function)
        answers = ask(app, "/score?x=2&scale=1.5", "/score?x=two", "/openapi.json")
        return [(answer.status_code, answer.json()) for answer in answers]

    assert served(decorate(function)) == served(function)
    assert len(captured()) == 1


def plain(x: int) -> int:
    return x + 1


async def later(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


class Adder:
    def __call__(self, x: int) -> int:
        return x + 1


class AsyncAdder:
    async def __call__(self, x: int) -> int:
        return x + 1


def gives(x: int) -> Iterator[int]:
    try:
        yield x + 1
    finally:
        CLOSED.append("closed")


async def gives_later(x: int) -> AsyncIterator[int]:
    try:
        yield x + 1
    finally:
        await asyncio.sleep(0)
        CLOSED.append("closed")


CLOSED: list[str] = []
DEPENDENCIES = [plain, later, Adder(), AsyncAdder(), gives, gives_later]


@pytest.mark.parametrize(
    "dependency", DEPENDENCIES, ids=lambda d: getattr(d, "__name__", type(d).__name__)
)
def test_a_dependency(decorate: Wrap, captured: Captured, dependency: Callable[..., Any]) -> None:
    CLOSED.clear()
    traced = decorate(dependency)
    app = FastAPI()

    @app.get("/score")
    def score(got: int = Depends(traced)) -> int:
        return got

    @app.get("/fail")
    def fail(got: int = Depends(traced)) -> int:
        raise fastapi.HTTPException(418)

    answers = ask(app, "/score?x=2", "/fail?x=2", "/score?x=two")
    assert [answer.status_code for answer in answers] == [200, 418, 422]
    assert answers[0].json() == 3
    is_stream = dependency in (gives, gives_later)
    assert len(CLOSED) == (2 if is_stream else 0)
    assert len(captured()) == 2
    # An error of the endpoint is thrown into a dependency that yields.
    assert [span.failed for span in captured()] == [False, is_stream]


def test_requests_at_once_keep_their_spans_apart(
    trace_one: Wrap, adapter: Adapter, captured: Captured
) -> None:
    app = FastAPI()

    @app.get("/score/{x}")
    @trace_one
    async def score(x: int) -> int:
        with adapter.child():
            await asyncio.sleep(0)
        return x

    async def main() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
            await asyncio.gather(*(client.get(f"/score/{x}") for x in range(8)))

    asyncio.run(main())
    own = {span.id for span in captured() if span.parent is None}
    assert {span.parent for span in captured() if span.parent is not None} == own
    assert len(own) == 8


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
def test_a_streamed_response(decorate: Wrap, captured: Captured, asynchronous: bool) -> None:
    @decorate
    async def tokens_later() -> AsyncIterator[str]:
        for token in ("a", "b"):
            await asyncio.sleep(0)
            yield token

    @decorate
    def tokens() -> Iterator[str]:
        yield from ("a", "b")

    app = FastAPI()

    @app.get("/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(tokens_later() if asynchronous else tokens())

    (answer,) = ask(app, "/stream")
    assert answer.text == "ab"
    (span,) = captured()
    assert not span.failed


def test_a_client_that_leaves_closes_the_stream(decorate: Wrap, captured: Captured) -> None:
    closed: list[str] = []

    @decorate
    async def tokens() -> AsyncIterator[str]:
        try:
            while True:
                await asyncio.sleep(0)
                yield "token"
        finally:
            closed.append("closed")

    app = FastAPI()

    @app.get("/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(tokens())

    async def main() -> None:
        sent = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await sent.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message.get("body"):
                sent.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "GET",
            "path": "/stream",
            "raw_path": b"/stream",
            "query_string": b"",
            "headers": [],
        }
        await app(scope, receive, send)

    asyncio.run(main())
    assert closed == ["closed"]
    assert len(captured()) == 1
