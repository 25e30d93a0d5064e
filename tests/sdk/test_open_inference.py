"""Model servers asked by HTTP libraries that nobody patched: model, id, trace, answer, errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import httpx
import pytest
import requests
from opentelemetry.trace import SpanKind

import inferspan
from inferspan import open_inference, semconv
from inferspan.testing import CapturedSpans
from servers.recording import Answer, answering

INPUTS = [{"name": "x", "shape": [3, 2], "datatype": "FP32", "data": [2, 1, 9, 1, 4, 3]}]
LABEL = {"name": "label", "shape": [3, 1], "datatype": "BYTES", "data": ["a", "b", "a"]}
SCORES = {"name": "scores", "shape": [3, 2], "datatype": "FP64", "data": [0.75, 0.25] * 3}
Ask = Callable[..., Any]


OUTPUTS: dict[str, list[dict[str, Any]]] = {
    "iris": [LABEL, SCORES],
    "scores": [SCORES],
    "several": [SCORES, {**SCORES, "name": "other"}],
}
SEEN: list[dict[str, str]] = []
"""Headers of each request of a test."""


def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    SEEN.append({name.lower(): value for name, value in headers.items()})
    found = OUTPUTS.get(path.split("/")[3] if "/models/" in path else "")
    said = {"error": "unknown model"} if found is None else {"outputs": found, **json.loads(body)}
    return Answer(404 if found is None else 200, json.dumps(said).encode())


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with answering(answer) as url:
        yield url


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    SEEN.clear()


def with_requests(url: str, body: Any, headers: Any = None, **options: Any) -> Any:
    with requests.Session() as session:
        return open_inference.traced(session.post, **options)(url, json=body, headers=headers)


def with_httpx(url: str, body: Any, headers: Any = None, **options: Any) -> Any:
    with httpx.Client() as client:
        return open_inference.traced(client.post, **options)(url, json=body, headers=headers)


def with_async_httpx(url: str, body: Any, headers: Any = None, **options: Any) -> Any:
    async def main() -> Any:
        async with httpx.AsyncClient() as client:
            post = open_inference.traced(client.post, **options)
            return await post(url, json=body, headers=headers)

    return asyncio.run(main())


each_library = pytest.mark.parametrize("ask", [with_requests, with_httpx, with_async_httpx])


@each_library
def test_a_call_is_a_prediction_of_the_model_that_was_asked(
    ask: Ask, address: str, spans: CapturedSpans
) -> None:
    body = {"id": "order-17", "inputs": INPUTS}
    answer = ask(f"{address}/v2/models/iris/versions/3/infer?a=b", body)
    assert answer.json()["outputs"] == [LABEL, SCORES]
    span = spans.prediction("iris")
    found = dict(span.attributes or {})
    assert span.kind is SpanKind.CLIENT
    assert (found[semconv.MODEL_VERSION], found[semconv.PREDICTION_ID]) == ("3", "order-17")
    assert (found[semconv.INPUT_SHAPE], found[semconv.INPUT_DTYPE]) == ("3x2", "FP32")
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == ("a", "b", "a")


@each_library
def test_trace_and_id_are_sent_along(ask: Ask, address: str, spans: CapturedSpans) -> None:
    ask(f"{address}/v2/models/iris/infer", {"inputs": INPUTS}, {"X-Mine": "1"})
    span = spans.prediction("iris")
    (sent,) = SEEN
    trace = f"{span.context.trace_id:032x}-{span.context.span_id:016x}"
    assert sent["traceparent"] == f"00-{trace}-01"
    assert sent["x-prediction-id"] == (span.attributes or {})[semconv.PREDICTION_ID]
    assert sent["x-mine"] == "1"


@each_library
def test_headers_of_the_callers_own_stay(ask: Ask, address: str, spans: CapturedSpans) -> None:
    own = {"Traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-00", "X-PREDICTION-ID": "mine"}
    ask(f"{address}/v2/models/iris/infer", {"inputs": INPUTS}, own)
    (sent,) = SEEN
    assert (sent["traceparent"], sent["x-prediction-id"]) == (own["Traceparent"], "mine")


@each_library
def test_what_the_server_refuses_has_failed_and_comes_back(
    ask: Ask, address: str, spans: CapturedSpans
) -> None:
    answer = ask(f"{address}/v2/models/other/infer", {"inputs": INPUTS})
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown model")
    found = spans.prediction("other").attributes or {}
    assert found[semconv.ERROR_TYPE] == "inferspan.open_inference.RefusedInference"


@each_library
def test_other_calls_pass_as_they_are(ask: Ask, address: str, spans: CapturedSpans) -> None:
    assert ask(f"{address}/v2/repository/index", {}).status_code == 404
    assert list(spans) == []
    assert "x-prediction-id" not in SEEN[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://other/?next=/v2/models/iris/infer",
        "http://other/a#/v2/models/iris/infer",
        "http://v2/models/iris/infer",
        "http://[other/v2/models/iris/infer",
    ],
)
def test_a_model_is_asked_by_the_path_of_a_url_alone(url: str, spans: CapturedSpans) -> None:
    seen: list[dict[str, Any]] = []

    def post(_url: str, **options: Any) -> None:
        seen.append(options)

    open_inference.traced(post)(url, json={})
    assert seen == [{"json": {}}]
    assert list(spans) == []


@each_library
def test_an_error_of_the_library_is_the_callers(
    ask: Ask, address: str, spans: CapturedSpans
) -> None:
    with pytest.raises((requests.ConnectionError, httpx.ConnectError)):
        ask("http://127.0.0.1:1/v2/models/iris/infer", {"inputs": INPUTS})
    assert (spans.prediction("iris").attributes or {})[semconv.ERROR_TYPE]


def test_probabilities_are_read_where_the_classes_are_declared(
    address: str, spans: CapturedSpans
) -> None:
    with_httpx(
        f"{address}/v2/models/scores/infer",
        {"inputs": INPUTS},
        task="binary_classification",
        classes=["legit", "fraud"],
        positive="fraud",
        model="risk",
        version=7,
    )
    found = spans.prediction("risk").attributes or {}
    assert found[semconv.MODEL_VERSION] == "7"
    assert found[semconv.OUTPUT_SCORES] == (0.25, 0.25, 0.25)
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == ("legit",) * 3


def test_outputs_of_which_none_is_known_are_not_guessed(address: str, spans: CapturedSpans) -> None:
    with_httpx(f"{address}/v2/models/several/infer", {"inputs": INPUTS})
    found = spans.prediction("several").attributes or {}
    assert "2 outputs, of which none is known" in str(found[semconv.CAPTURE_DROPPED])


@pytest.mark.parametrize("said_by", ["call", "session", "function"])
def test_a_streamed_answer_is_left_to_the_caller(
    said_by: str, address: str, spans: CapturedSpans
) -> None:
    url = f"{address}/v2/models/iris/infer"
    with requests.Session() as session:
        session.stream = said_by == "session"
        streaming = partial(session.post, stream=True)
        post = open_inference.traced(streaming if said_by == "function" else session.post)
        said = {"stream": True} if said_by == "call" else {}
        with post(url, json={"inputs": INPUTS}, **said) as answer:
            assert json.loads(answer.raw.read())["outputs"] == [LABEL, SCORES]
    found = spans.prediction("iris").attributes or {}
    assert "a streamed answer is not read" in str(found[semconv.CAPTURE_DROPPED])


class Closed:
    """A response that tells nothing any more."""

    @property
    def status_code(self) -> int:
        raise OSError("closed")


def test_a_response_without_a_readable_status_is_the_callers(
    spans: CapturedSpans, contained_errors: list[BaseException]
) -> None:
    answer = Closed()

    def post(url: str, **options: Any) -> Any:
        return answer

    async def post_later(url: str, **options: Any) -> Any:
        return answer

    url = "/v2/models/iris/infer"
    assert open_inference.traced(post)(url, json={}) is answer
    assert asyncio.run(open_inference.traced(post_later)(url, json={})) is answer
    assert len(list(spans)) == 2
    contained_errors.clear()


def test_a_request_without_inputs_has_none(spans: CapturedSpans) -> None:
    post = open_inference.traced(lambda url, **options: None)
    post("/v2/models/iris/infer", json={"inputs": None})
    assert semconv.INPUT_SHAPE not in (spans.prediction("iris").attributes or {})


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="write traced"):
        open_inference.traced(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="has no option 'modle'"):
        open_inference.traced(requests.post, modle="m")  # type: ignore[call-arg]


def test_within_a_prediction_the_call_is_a_prediction_below_it(
    address: str, spans: CapturedSpans
) -> None:
    @inferspan.predict(model="service", task="regression")
    def answer() -> float:
        with_httpx(f"{address}/v2/models/iris/infer", {"inputs": INPUTS})
        return 1.0

    answer()
    assert spans.prediction("iris").parent == spans.prediction("service").context
