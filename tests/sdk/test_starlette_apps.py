"""Applications of Starlette and FastAPI under `opentelemetry-instrument`, without a line of us."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

import inferspan
from inferspan import patching, starlette_apps
from inferspan.asgi import PredictionMiddleware
from inferspan.testing import CapturedSpans

KINDS = pytest.mark.parametrize("kind", [Starlette, FastAPI])


@inferspan.predict(model="fraud", task="regression")
def score() -> float:
    return 0.5


@pytest.fixture(autouse=True)
def _covered() -> Iterator[None]:
    starlette_apps.cover_when_imported()
    yield
    patching.restore(starlette_apps.LIBRARY)


def ids_of(app: Any) -> list[str]:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
            return await client.get("/score", headers={"X-Prediction-Id": "order-17"})

    answer = asyncio.run(main())
    assert answer.status_code == 200
    return answer.headers.get_list("X-Prediction-Id")


async def endpoint(request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(str(score()))


def application(kind: Any) -> Any:
    app = kind()
    app.router.add_route("/score", endpoint)
    return app


@KINDS
def test_callers_know_their_predictions(kind: Any, spans: CapturedSpans) -> None:
    assert ids_of(application(kind)) == ["order-17"]


@KINDS
def test_a_middleware_of_the_application_is_the_only_one(kind: Any, spans: CapturedSpans) -> None:
    app = application(kind)
    app.add_middleware(PredictionMiddleware, trust_callers=False)
    (found,) = ids_of(app)
    assert found != "order-17"
    assert [one.cls for one in app.user_middleware] == [PredictionMiddleware]


def test_applications_of_later_classes_are_covered(spans: CapturedSpans) -> None:
    class Own(FastAPI):
        def build_middleware_stack(self) -> Any:
            return super().build_middleware_stack()

    app = application(Own)
    assert ids_of(app) == ["order-17"]
    assert len(app.user_middleware) == 1


def test_what_was_covered_is_what_it_was_before(spans: CapturedSpans) -> None:
    patching.restore(starlette_apps.LIBRARY)
    before = Starlette.build_middleware_stack, FastAPI.build_middleware_stack
    starlette_apps.cover_when_imported()
    assert Starlette.build_middleware_stack is not before[0]
    patching.restore(starlette_apps.LIBRARY)
    assert (Starlette.build_middleware_stack, FastAPI.build_middleware_stack) == before
    assert ids_of(application(FastAPI)) == []
