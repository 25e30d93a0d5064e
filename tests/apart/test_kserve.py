"""KServe's own clients, against its own server: one prediction that both tell of."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kserve
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from opentelemetry.trace import SpanKind
from real_servers import free_ports, serving

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans
from sdk.receiving import Receiver, attributes_of, receiver
from waiting import wait_until

pytestmark = pytest.mark.usefixtures("uninstrumented", "contained_errors")
HERE = Path(__file__).parent
X = np.array([[2.0, 1.0], [9.0, 1.0], [4.0, 3.0]], np.float32)
SAID = ("setosa", "virginica", "setosa")


@dataclass(frozen=True)
class Served:
    """A running server."""

    http: str
    grpc: str
    otlp: Receiver


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    http, rpc = free_ports(2)
    command = [
        Path(sys.executable).with_name("opentelemetry-instrument"),
        *(sys.executable, HERE / "served_by_kserve.py", str(http), str(rpc)),
    ]
    address = f"http://127.0.0.1:{http}"
    with (
        receiver() as otlp,
        serving(
            command,
            f"{address}/v2/models/flowers/ready",
            tmp_path_factory.mktemp("kserve") / "log",
            environment={
                "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
                # Each prediction leaves as it ends, while the server lives.
                "OTEL_BSP_SCHEDULE_DELAY": "10",
            },
        ),
    ):
        yield Served(address, f"127.0.0.1:{rpc}", otlp)


def request(model: str, binary: bool, key: str | None = None) -> InferRequest:
    given = InferInput(name="x", shape=list(X.shape), datatype="FP32")
    given.set_data_from_numpy(X, binary_data=binary)
    options = {"parameters": {"binary_data_output": True}} if binary else {}
    return InferRequest(model, [given], request_id=key, model_version="3", **options)


def over_http(binary: bool) -> Callable[..., Awaitable[Any]]:
    async def ask(served: Served, model: str, **options: Any) -> Any:
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        try:
            return await client.infer(served.http, request(model, binary), model, **options)
        finally:
            await client.close()

    return ask


async def over_grpc(served: Served, model: str, **options: Any) -> Any:
    if "headers" in options:
        options["headers"] = list(options["headers"].items())
    async with InferenceGRPCClient(served.grpc) as client:
        return await client.infer(request(model, False), **options)


CLIENTS = [
    pytest.param(over_http(False), id="json"),
    pytest.param(over_http(True), id="bytes"),
    pytest.param(over_grpc, id="grpc"),
]
Ask = Callable[..., Awaitable[Any]]


def told(answer: Any) -> dict[str, str]:
    """What the server was sent along."""
    return {
        name: getattr(value, "string_param", value) for name, value in answer.parameters.items()
    }


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_call_is_a_prediction_whose_trace_and_id_the_server_gets(
    ask: Ask, served: Served, spans: CapturedSpans
) -> None:
    inferspan.instrument("kserve", task="multiclass_classification")
    answer = asyncio.run(ask(served, "flowers"))
    span = spans.prediction("flowers")
    found = dict(span.attributes or {})
    assert span.kind is SpanKind.CLIENT
    assert found[semconv.MODEL_VERSION] == "3"
    assert (found[semconv.INPUT_SHAPE], found[semconv.INPUT_DTYPE]) == ("3x2", "FP32")
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == SAID
    sent = told(answer)
    trace = f"{span.context.trace_id:032x}-{span.context.span_id:016x}"
    assert sent["traceparent"] == f"00-{trace}-01"
    assert sent["x-prediction-id"] == found[semconv.PREDICTION_ID]


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_single_output_is_the_answer(ask: Ask, served: Served, spans: CapturedSpans) -> None:
    inferspan.instrument("kserve", task="regression")
    answer = asyncio.run(ask(served, "price"))
    assert np.ravel(answer.outputs[0].as_numpy()).tolist() == [3.0, 10.0, 7.0]
    assert (spans.prediction("price").attributes or {})[semconv.OUTPUT_VALUES] == (3.0, 10.0, 7.0)


@pytest.mark.parametrize("ask", CLIENTS)
def test_headers_of_the_callers_own_stay(ask: Ask, served: Served, spans: CapturedSpans) -> None:
    inferspan.instrument("kserve")
    own = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00", "x-prediction-id": "mine"}
    # A copy: the client itself adds to it.
    assert told(asyncio.run(ask(served, "flowers", headers={**own}))) == own
    assert len(spans.predictions) == 1


@pytest.mark.parametrize("ask", CLIENTS)
def test_what_the_server_refuses_has_failed(ask: Ask, served: Served, spans: CapturedSpans) -> None:
    inferspan.instrument("kserve")
    with pytest.raises(Exception, match="other") as refused:
        asyncio.run(ask(served, "other"))
    found = spans.prediction("other").attributes or {}
    assert str(found[semconv.ERROR_TYPE]).endswith(type(refused.value).__name__)


def test_client_and_server_tell_of_one_prediction(served: Served, spans: CapturedSpans) -> None:
    inferspan.instrument("kserve", prediction_id=lambda *given, **named: "order-17")
    heard: dict[str, str] = {}
    asyncio.run(over_http(True)(served, "flowers", response_headers=heard))
    asked = spans.prediction("flowers")
    assert (asked.attributes or {})[semconv.PREDICTION_ID] == "order-17"
    assert heard["x-prediction-id"] == "order-17"

    def of_server() -> list[Any]:
        spans = [span for _, span in served.otlp.spans(semconv.SCOPE_PREDICTIONS)]
        return [s for s in spans if attributes_of(s)[semconv.PREDICTION_ID] == "order-17"]

    (judged,) = wait_until(of_server, 30, "the server's span")
    assert judged.trace_id.hex() == f"{asked.context.trace_id:032x}"


def test_protocol_v1_is_read_too(served: Served, spans: CapturedSpans) -> None:
    inferspan.instrument("kserve")

    async def main() -> Any:
        client = InferenceRESTClient()
        try:
            return await client.infer(served.http, {"instances": X.tolist()}, "flowers")
        finally:
            await client.close()

    assert asyncio.run(main()) == {"predictions": list(SAID)}
    found = spans.prediction("flowers").attributes or {}
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == SAID
    assert found[semconv.INPUT_SHAPE] == "3"


def test_what_a_graph_is_asked_is_no_prediction(served: Served, spans: CapturedSpans) -> None:
    inferspan.instrument("kserve")

    async def main() -> Any:
        client = InferenceRESTClient()
        try:
            url = f"{served.http}/v1/models/flowers:predict"
            return await client.infer(url, {"instances": X.tolist()}, is_graph_endpoint=True)
        finally:
            await client.close()

    assert asyncio.run(main()) == {"predictions": list(SAID)}
    assert spans.predictions == []


def test_what_was_instrumented_is_what_it_was_before() -> None:
    kinds = (kserve.InferenceRESTClient, kserve.InferenceGRPCClient)
    before = [vars(kind).copy() for kind in kinds]
    inferspan.instrument("kserve")
    assert [vars(kind)["infer"] for kind in kinds] != [was["infer"] for was in before]
    inferspan.uninstrument()
    assert [vars(kind).copy() for kind in kinds] == before
