"""Requests of FastAPI and Starlette: whose trace, whose prediction id, and what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import inferspan
from inferspan import asgi, propagation, semconv
from inferspan.asgi import BODY_BYTES_MAX, Feedback, PredictionMiddleware
from inferspan.testing import CapturedSpans, capture_spans

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
ID = "X-Prediction-Id"


@inferspan.predict(model="fraud", task="regression")
def score(amount: float) -> float:
    return amount / 1000


@inferspan.predict(model="churn", task="regression", prediction_id="key")
def churn(key: str) -> float:
    return float(len(key))


@inferspan.predict(model="whole", task="regression")
def whole(amount: float) -> float:
    return score(amount) + 1


def application(**options: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(PredictionMiddleware, **options)
    app.router.add_route("/feedback", Feedback("fraud", "churn"), methods=["POST"])
    app.get("/score")(score)

    @app.get("/in-a-task")
    async def in_a_task(amount: float) -> float:
        return await asyncio.create_task(asyncio.to_thread(score, amount))

    @app.get("/twice")
    def twice(amount: float) -> float:
        return score(amount) + score(amount) + churn("key-7")

    @app.get("/whole")
    def answer_whole(amount: float) -> float:
        return whole(amount)

    @app.get("/none")
    def none() -> str:
        return ""

    return app


def ask(app: Any, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return asyncio.run(asked(app, lambda client: client.get(path, headers=headers)))


def post(app: Any, content: Any) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return asyncio.run(asked(app, lambda client: client.post("/feedback", content=body)))


async def asked(
    app: Any, call: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
        return await call(client)


def id_of(spans: CapturedSpans, model: str) -> object:
    return (spans.prediction(model).attributes or {})[semconv.PREDICTION_ID]


@pytest.mark.parametrize("path", ["/score?amount=1", "/in-a-task?amount=1"])
def test_trace_and_id_of_the_caller_come_through(path: str, spans: CapturedSpans) -> None:
    answer = ask(application(), path, {**TRACEPARENT, ID: "order-17"})
    assert answer.headers.get_list(ID) == ["order-17"]
    span = spans.prediction("fraud")
    assert id_of(spans, "fraud") == "order-17"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"  # type: ignore[union-attr]


def test_the_id_that_was_made_up_goes_back(spans: CapturedSpans) -> None:
    answer = ask(application(), "/score?amount=1")
    assert answer.headers.get_list(ID) == [id_of(spans, "fraud")]


def test_a_span_of_the_server_is_the_parent(spans: CapturedSpans) -> None:
    inner, tracer = application(), TracerProvider().get_tracer("of the server")
    made = []

    async def served(scope: Any, receive: Any, send: Any) -> None:
        parent = propagation.extract(scope["headers"])
        with tracer.start_as_current_span("GET /score", parent) as span:
            made.append(span.get_span_context())
            await inner(scope, receive, send)

    ask(served, "/score?amount=1", TRACEPARENT)
    assert f"{made[0].trace_id:032x}" == TRACE
    assert spans.prediction("fraud").parent == made[0]


def test_each_prediction_of_a_request_has_an_id_of_its_own(spans: CapturedSpans) -> None:
    answer = ask(application(), "/twice?amount=1", {ID: "order-17"})
    ids = [
        (span.attributes or {})[semconv.PREDICTION_ID]
        for span in sorted(spans.predictions, key=lambda span: span.start_time or 0)
    ]
    assert ids[0] == "order-17"
    assert len(set(ids)) == 3
    assert ids[2] == "key-7"  # declared
    assert answer.headers.get_list(ID) == ids


def test_a_part_of_a_prediction_has_no_id_of_the_request(spans: CapturedSpans) -> None:
    answer = ask(application(), "/whole?amount=1", {ID: "order-17"})
    assert answer.headers.get_list(ID) == ["order-17"]
    assert id_of(spans, "whole") == "order-17"
    assert id_of(spans, "fraud") != "order-17"


def test_models_of_an_instrumented_library_answer_under_the_callers_id(
    spans: CapturedSpans,
) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    app = FastAPI()
    app.add_middleware(PredictionMiddleware)
    app.get("/score")(lambda: float(model.predict([[2.0]])[0]))
    inferspan.instrument("sklearn")
    try:
        assert ask(app, "/score", {ID: "order-17"}).headers[ID] == "order-17"
    finally:
        inferspan.uninstrument()
    assert id_of(spans, "LinearRegression") == "order-17"


def test_a_prediction_that_is_not_sampled_goes_back_too() -> None:
    with capture_spans(sampler=ALWAYS_OFF) as unsampled:
        answer = ask(application(), "/score?amount=1")
        (record,) = unsampled.records
    packed = (record.attributes or {})[semconv.RECORD_IDS]
    assert isinstance(packed, bytes)
    assert answer.headers[ID] == packed.hex()


def test_a_request_without_a_prediction_gets_what_it_gave(spans: CapturedSpans) -> None:
    assert ID not in ask(application(), "/none").headers
    assert ask(application(), "/none", {ID: "order-17"}).headers[ID] == "order-17"


def test_callers_that_are_not_trusted_give_no_id(spans: CapturedSpans) -> None:
    headers = {**TRACEPARENT, ID: "order-17"}
    answer = ask(application(trust_callers=False), "/score?amount=1", headers)
    assert answer.headers[ID] == id_of(spans, "fraud") != "order-17"
    assert f"{spans.prediction('fraud').context.trace_id:032x}" == TRACE


def test_an_id_of_the_application_stays(spans: CapturedSpans) -> None:
    async def endpoint(request: Any) -> Response:
        score(1.0)
        return PlainTextResponse("", headers={ID: "mine"})

    app = Starlette(routes=[Route("/", endpoint)])
    assert ask(PredictionMiddleware(app), "/").headers.get_list(ID) == ["mine"]


@pytest.mark.parametrize("bad", ["", "a b", "é", "x" * 129])
def test_what_can_be_no_id_is_passed_over(bad: str, spans: CapturedSpans) -> None:
    headers = [(ID.encode(), bad.encode("latin-1"))]
    answer = ask(application(), "/score?amount=1", headers)  # type: ignore[arg-type]
    assert answer.headers[ID] == id_of(spans, "fraud")
    assert answer.headers[ID] != bad


@given(st.text(min_size=1, max_size=40))
def test_no_id_breaks_a_header(key: str) -> None:
    app = FastAPI()
    app.add_middleware(PredictionMiddleware)
    app.get("/")(lambda: churn(key))
    with capture_spans():
        answer = ask(app, "/")
    assert answer.status_code == 200
    assert answer.headers.get(ID, key) == key


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What a server hears of a lifespan, and for how long at most what waits is sent."""
    heard: list[object] = []
    monkeypatch.setattr(asgi, "flush", heard.append)
    return heard


def start_and_end(app: Any, happened: list[object]) -> None:
    """As a server does."""
    asked_for = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(asked_for)

    async def send(message: Any) -> None:
        happened.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))


@pytest.mark.parametrize("fails", [False, True])
def test_what_waits_is_sent_as_an_application_ends(fails: bool, happened: list[object]) -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        happened.append("ended")
        if fails:
            raise RuntimeError("asked for")

    app = Starlette(lifespan=lifespan, middleware=[Middleware(PredictionMiddleware)])
    with pytest.raises(RuntimeError) if fails else nullcontext():
        start_and_end(app, happened)
    last = f"lifespan.shutdown.{'failed' if fails else 'complete'}"
    assert happened == ["lifespan.startup.complete", "ended", asgi.END_SECONDS, last]


async def _fails_in_its_shutdown(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    raise RuntimeError("asked for")


async def _fails_in_its_startup(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise RuntimeError("asked for")


async def _refuses(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("only http")


async def _passes_over(scope: Any, receive: Any, send: Any) -> None:
    return


_LIVED = ["lifespan.startup.complete", asgi.END_SECONDS, "lifespan.shutdown.complete"]


@pytest.mark.parametrize(
    ("app", "raises", "expected"),
    [
        (_fails_in_its_shutdown, True, _LIVED[:2]),
        (_fails_in_its_startup, True, []),
        (_refuses, False, _LIVED),
        (_passes_over, False, _LIVED),
    ],
)
def test_the_end_is_heard_of_whatever_an_application_makes_of_its_lifespan(
    app: Any, raises: bool, expected: list[object], happened: list[object]
) -> None:
    with pytest.raises(RuntimeError) if raises else nullcontext():
        start_and_end(PredictionMiddleware(app), happened)
    assert happened == expected


def labels(spans: CapturedSpans) -> list[dict[str, Any]]:
    return [dict(span.attributes or {}) for span in spans.labels]


def test_a_verdict_becomes_a_label(spans: CapturedSpans) -> None:
    app = application()
    given = ask(app, "/score?amount=900").headers[ID]
    answer = post(app, {"prediction_id": given, "label": 0.5, "model": "fraud", "id": "verdict-1"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "ids": ["verdict-1"]})
    (label,) = labels(spans)
    assert label[semconv.PREDICTION_ID] == id_of(spans, "fraud")
    assert label[semconv.LABEL_VALUE] == 0.5
    assert (label[semconv.TARGET_KIND], label[semconv.LABEL_SOURCE]) == ("feedback", "feedback")


def test_several_verdicts_come_in_one_body(spans: CapturedSpans) -> None:
    said = [{"prediction_id": f"o-{n}", "label": True, "model": "churn"} for n in range(3)]
    assert post(application(), said).json()["accepted"] == 3
    assert [label[semconv.PREDICTION_ID] for label in labels(spans)] == ["o-0", "o-1", "o-2"]


GOOD = {"prediction_id": "order-17", "label": "fraud", "model": "fraud"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        ([GOOD, 7], "verdict 1 is a int: must be an object"),
        ([GOOD, {**GOOD, "model": "other"}], "must be one of fraud, churn"),
        ({"prediction_id": "order-17", "label": "fraud"}, "model=None: must be one of"),
        ({**GOOD, "lable": 1}, "verdict 0: a verdict has no option 'lable'; did you mean 'label'?"),
        ({**GOOD, "label": None}, "absence is no label"),
        ({**GOOD, "label": {"a": 1}}, "a dict is no label"),
        ({**GOOD, "prediction_id": ""}, "the prediction's id is empty"),
        ({**GOOD, "time": "yesterday"}, "is not RFC 3339"),
        ({**GOOD, "time": "2026-11-21T06:00:00"}, "has no offset"),
        ({**GOOD, "action": "drop"}, "action is 'drop': must be one of upsert, delete"),
        ({**GOOD, "index": -1}, "is no whole number from 0 on"),
        ({**GOOD, "id": []}, "id=[] is no id"),
        ([GOOD] * 1001, "1,001 verdicts: at most 1,000"),
    ],
)
def test_what_cannot_count_is_refused_whole(body: Any, said: str, spans: CapturedSpans) -> None:
    answer = post(application(), body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert labels(spans) == []


def test_large_bodies_and_other_methods_are_refused(spans: CapturedSpans) -> None:
    assert post(application(), b" " * (BODY_BYTES_MAX + 1)).status_code == 413
    bare = asyncio.run(asked(Feedback("fraud"), lambda client: client.get("/")))
    assert (bare.status_code, bare.headers["allow"]) == (405, "POST")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_json_is_answered(value: Any) -> None:
    with capture_spans():
        for body in (value, {**GOOD, "label": value}, {**GOOD, "id": value}):
            assert post(Feedback("fraud"), body).status_code in (202, 400)


def test_feedback_names_its_models() -> None:
    with pytest.raises(ValueError, match="must name the models"):
        Feedback()
    with pytest.raises(ValueError, match="kind"):
        Feedback("fraud", kind="rumour")
