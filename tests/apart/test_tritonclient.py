"""Clients of model servers: which model was asked is an argument, and the server may record too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import inference_server
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

import inferspan
from inferspan import open_inference, semconv
from inferspan.sampling import RatioSampler
from inferspan.testing import CapturedSpans, capture_spans

X = np.array([[2.0, 1.0], [9.0, 1.0], [4.0, 3.0]], np.float32)
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, str]]:
    with inference_server.serving() as addresses:
        yield addresses


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture_spans() as caught:
        yield caught
    inferspan.uninstrument()


def inputs_of(module: Any) -> list[Any]:
    given = module.InferInput("x", X.shape, "FP32")
    given.set_data_from_numpy(X)
    return [given]


def over_http(served: tuple[str, str], model: str, **options: Any) -> Any:
    with tritonclient.http.InferenceServerClient(served[0]) as client:
        return client.infer(model, inputs_of(tritonclient.http), **options)


def over_grpc(served: tuple[str, str], model: str, **options: Any) -> Any:
    with tritonclient.grpc.InferenceServerClient(served[1]) as client:
        return client.infer(model, inputs_of(tritonclient.grpc), **options)


def over_aio(module: Any, at: int) -> Ask:
    def ask(served: tuple[str, str], model: str, **options: Any) -> Any:
        async def main() -> Any:
            async with module.aio.InferenceServerClient(served[at]) as client:
                return await client.infer(model, inputs_of(module), **options)

        return asyncio.run(main())

    return ask


def called_back(served: tuple[str, str], model: str, **options: Any) -> Any:
    answer: list[Any] = []
    done = threading.Event()

    def callback(result: Any, error: Any) -> None:
        answer.extend((result, error))
        done.set()

    with tritonclient.grpc.InferenceServerClient(served[1]) as client:
        client.async_infer(model, inputs_of(tritonclient.grpc), callback, **options)
        assert done.wait(30)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


CLIENTS = [
    pytest.param(over_http, id="http"),
    pytest.param(over_grpc, id="grpc"),
    pytest.param(over_aio(tritonclient.http, 0), id="http.aio"),
    pytest.param(over_aio(tritonclient.grpc, 1), id="grpc.aio"),
    pytest.param(called_back, id="grpc-callback"),
]


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_call_is_a_prediction_of_the_model_that_was_asked(
    ask: Ask, served: tuple[str, str], spans: CapturedSpans
) -> None:
    bare = ask(served, "iris", model_version="3", request_id="order-17")
    inferspan.instrument("tritonclient", prediction_id="request_id")
    answer = ask(served, "iris", model_version="3", request_id="order-17")
    for name in ("label", "probabilities"):
        assert np.array_equal(answer.as_numpy(name), bare.as_numpy(name))
    span = spans.prediction("iris")
    found = dict(span.attributes or {})
    assert span.kind is SpanKind.CLIENT
    assert found[semconv.MODEL_VERSION] == "3"
    assert found[semconv.PREDICTION_ID] == "order-17"
    assert (found[semconv.INPUT_SHAPE], found[semconv.INPUT_DTYPE]) == ("3x2", "FP32")
    assert list(found[semconv.OUTPUT_CLASSES_PREDICTED]) == ["setosa", "virginica", "setosa"]  # type: ignore[arg-type]


@pytest.mark.parametrize("ask", CLIENTS)
def test_trace_and_id_go_along_and_what_the_caller_says_stays(
    ask: Ask, served: tuple[str, str], spans: CapturedSpans
) -> None:
    inferspan.instrument("tritonclient")
    theirs = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "x-tenant": "blue"}
    ask(served, "iris")
    ask(served, "iris", request_id="order-17", headers=theirs)
    ask(served, "iris", model_version="3", request_id="", headers=None)
    (own, headers), (given, kept), (again, _) = inference_server.ASKED[-3:]
    calls = [dict(span.attributes or {}) for span in spans.predictions]
    ids = [call[semconv.PREDICTION_ID] for call in calls]
    assert [own, headers["x-prediction-id"], again] == [ids[0], ids[0], ids[2]]
    span = spans.predictions[0].context
    assert headers["traceparent"] == f"00-{span.trace_id:032x}-{span.span_id:016x}-01"
    assert (given, kept["x-prediction-id"]) == ("order-17", ids[1])
    assert {name: kept[name] for name in theirs} == theirs
    assert theirs == {"traceparent": theirs["traceparent"], "x-tenant": "blue"}


def test_what_is_given_by_position_stays_there(
    served: tuple[str, str], spans: CapturedSpans
) -> None:
    inferspan.instrument("tritonclient")
    with tritonclient.http.InferenceServerClient(served[0]) as client:
        for key in ("order-17", ""):
            client.infer("iris", inputs_of(tritonclient.http), "3", None, key)
    last = (spans.predictions[-1].attributes or {})[semconv.PREDICTION_ID]
    assert [key for key, _ in inference_server.ASKED[-2:]] == ["order-17", last]


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_single_output_is_the_answer(
    ask: Ask, served: tuple[str, str], spans: CapturedSpans
) -> None:
    inferspan.instrument("tritonclient", task="regression")
    ask(served, "price")
    assert (spans.prediction("price").attributes or {})[semconv.OUTPUT_VALUES] == (3.0, 10.0, 7.0)


@pytest.mark.parametrize("ask", CLIENTS)
def test_what_the_server_refuses_has_failed(
    ask: Ask, served: tuple[str, str], spans: CapturedSpans
) -> None:
    inferspan.instrument("tritonclient")
    with pytest.raises(InferenceServerException, match="unknown model"):
        ask(served, "other")
    found = spans.prediction("other").attributes or {}
    assert found[semconv.ERROR_TYPE] == "tritonclient.utils.InferenceServerException"


def test_one_client_asks_many_models(served: tuple[str, str], spans: CapturedSpans) -> None:
    inferspan.instrument("tritonclient")
    with tritonclient.http.InferenceServerClient(served[0]) as client:
        for model, version in (("iris", "1"), ("iris", "2"), ("price", ""), ("iris", "1")):
            client.infer(model, inputs_of(tritonclient.http), version)
    asked = [
        (a[semconv.MODEL_NAME], a.get(semconv.MODEL_VERSION))
        for a in (span.attributes or {} for span in spans.predictions)
    ]
    assert asked == [("iris", "1"), ("iris", "2"), ("price", None), ("iris", "1")]


def test_a_declared_name_counts_for_all(served: tuple[str, str], spans: CapturedSpans) -> None:
    inferspan.instrument("tritonclient", model="remote", version=7)
    over_http(served, "iris", model_version="3")
    assert (spans.prediction("remote").attributes or {})[semconv.MODEL_VERSION] == "7"


def test_an_answer_that_is_fetched_later_is_left_as_it_is(
    served: tuple[str, str], spans: CapturedSpans
) -> None:
    inferspan.instrument("tritonclient")
    with tritonclient.http.InferenceServerClient(served[0]) as client:
        later = client.async_infer("iris", inputs_of(tritonclient.http))
        assert later.get_result().as_numpy("label").size == 3
    assert spans.predictions == []


def test_calls_that_are_not_sampled_leave_records(served: tuple[str, str]) -> None:
    inferspan.instrument("tritonclient")
    try:
        with capture_spans(sampler=ALWAYS_OFF) as unsampled:
            over_grpc(served, "iris")
            (record,) = unsampled.records
    finally:
        inferspan.uninstrument()
    assert (record.attributes or {})[semconv.MODEL_NAME] == "iris"


def test_what_was_instrumented_is_what_it_was_before() -> None:
    kinds = (
        tritonclient.http.InferenceServerClient,
        tritonclient.grpc.InferenceServerClient,
        tritonclient.http.aio.InferenceServerClient,
        tritonclient.grpc.aio.InferenceServerClient,
    )
    before = [vars(kind).copy() for kind in kinds]
    inferspan.instrument("tritonclient")
    assert [vars(kind)["infer"] for kind in kinds] != [was["infer"] for was in before]
    inferspan.uninstrument()
    assert [vars(kind).copy() for kind in kinds] == before


def test_a_call_that_is_kept_for_its_error_is_of_kind_client(served: tuple[str, str]) -> None:
    inferspan.instrument("tritonclient")
    try:
        with (
            capture_spans(sampler=RatioSampler(0.0)) as caught,
            pytest.raises(InferenceServerException),
        ):
            over_http(served, "other")
    finally:
        inferspan.uninstrument()
    assert caught.prediction("other").kind is SpanKind.CLIENT


def test_a_client_is_traced_once_somebody_imports_it_and_none_is_imported_for_that() -> None:
    program = """
import sys
import inferspan
inferspan.instrument("tritonclient")
for module in ("http", "grpc", "http.aio", "grpc.aio"):
    name = f"tritonclient.{module}"
    assert name not in sys.modules, name
    client = __import__(name, fromlist=["InferenceServerClient"]).InferenceServerClient
    assert hasattr(vars(client)["infer"], "__wrapped__"), name
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("iris", (semconv.OUTPUT_CLASSES_PREDICTED, ("setosa", "virginica", "setosa"))),
        ("price", (semconv.OUTPUT_VALUES, (3.0, 10.0, 7.0))),
    ],
)
def test_raw_contents_that_a_stub_gets_are_read(
    model: str, expected: tuple[str, object], served: tuple[str, str], spans: CapturedSpans
) -> None:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[3, 2])
    request = service_pb2.ModelInferRequest(
        model_name=model, inputs=[tensor], raw_input_contents=[X.tobytes()]
    )
    task = "regression" if model == "price" else "multiclass_classification"
    with grpc.insecure_channel(served[1]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        open_inference.traced_method(stub.ModelInfer, task=task)(request, timeout=30)
    name, value = expected
    assert (spans.prediction(model).attributes or {})[name] == value
