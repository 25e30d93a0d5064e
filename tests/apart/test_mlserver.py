"""A real MLServer that nobody changed, asked by a client of ours: one trace, one id, two spans."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import joblib
import numpy as np
import pytest
from real_servers import free_ports, serving
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inferspan import open_inference, semconv
from inferspan.testing import capture_spans
from sdk.receiving import Receiver, attributes_of, receiver

with warnings.catch_warnings(action="ignore"):  # of what old releases of MLServer import
    from mlserver.grpc import dataplane_pb2 as pb
    from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

X, Y = load_iris(return_X_y=True)
MODEL = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
TOGETHER = 4
"""Requests of a batch."""
CLIENT = ("a" * 32, "b" * 16)
TOLD = {
    "inferspan.task.type": "multiclass_classification",
    "inferspan.output.classes": [0, 1, 2],
}


def write(folder: Path, workers: int, batch: int, runtime: str) -> tuple[int, int]:
    """Settings of a server with one model; its ports for HTTP and gRPC."""
    http, rpc, metrics = free_ports(3)
    joblib.dump(MODEL, folder / "model.joblib")
    shutil.copy(Path(__file__).with_name("served_by_mlserver.py"), folder)
    server = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": rpc,
        "metrics_port": metrics,
        "parallel_workers": workers,
        "debug": False,
    }
    parameters = {"uri": "./model.joblib", "version": "3", "extra": TOLD}
    model = {
        "name": "iris",
        "implementation": runtime,
        "parameters": parameters,
        "max_batch_size": batch,
        "max_batch_time": 120 if batch else 0,  # as long as it takes until all are together
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return http, rpc


@contextmanager
def mlserver(
    folder: Path,
    workers: int,
    otlp: Receiver,
    batch: int = 0,
    runtime: str = "mlserver_sklearn.SKLearnModel",
) -> Iterator[tuple[str, str]]:
    """Addresses of MLServer, traced without a line; it has ended when the block is left."""
    http, rpc = write(folder, workers, batch, runtime)
    bin_ = Path(sys.executable).parent
    address = f"http://127.0.0.1:{http}"
    with serving(
        [bin_ / "opentelemetry-instrument", bin_ / "mlserver", "start", folder],
        f"{address}/v2/models/iris/ready",
        folder / "log",
        cwd=folder,  # it leaves its metrics there
        environment={"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url},
    ):
        yield address, f"127.0.0.1:{rpc}"


def given() -> dict[str, Any]:
    tensor = {"name": "x", "shape": list(X.shape), "datatype": "FP64", "data": X.ravel().tolist()}
    return {"inputs": [tensor], "id": "night-17"}


def given_to_grpc(key: str = "") -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="x", datatype="FP64", shape=X.shape, contents={"fp64_contents": X.ravel()}
    )
    return pb.ModelInferRequest(id=key, model_name="iris", model_version="3", inputs=[tensor])


def spans_of(otlp: Receiver) -> list[Any]:
    return [span for _, span in otlp.spans(semconv.SCOPE_PREDICTIONS)]


@pytest.mark.parametrize("workers", [0, 1], ids=["in the server", "in a worker"])
def test_client_and_server_tell_of_one_prediction(workers: int, tmp_path: Path) -> None:
    with receiver() as otlp, mlserver(tmp_path, workers, otlp) as (address, _):
        with capture_spans() as spans, httpx.Client(base_url=address) as client:
            infer = open_inference.traced(client.post)
            answer = infer("/v2/models/iris/versions/3/infer", json=given())
        assert answer.headers["X-Prediction-Id"] == "night-17"
        asked = spans.prediction("iris")
    np.testing.assert_array_equal(answer.json()["outputs"][0]["data"], MODEL.predict(X))
    (served,) = [span for span in spans_of(otlp) if span.name == "predict iris"]
    found = attributes_of(served)
    assert served.trace_id.hex() == f"{asked.context.trace_id:032x}"
    assert found[semconv.MODEL_VERSION] == "3"
    assert found[semconv.MODEL_FRAMEWORK] == "mlserver"
    assert found[semconv.TASK_TYPE] == "multiclass_classification"
    said = [text.string_value for text in found[semconv.OUTPUT_CLASSES_PREDICTED].values]
    assert said == list(map(str, MODEL.predict(X)))
    stages = [span for span in spans_of(otlp) if span.parent_span_id == served.span_id]
    assert [span.name for span in stages] == ["LogisticRegression iris"]


def test_an_id_that_a_worker_gives_goes_back_to_who_asked(tmp_path: Path) -> None:
    with (
        receiver() as otlp,
        mlserver(tmp_path, 1, otlp) as (address, target),
        grpc.insecure_channel(target) as channel,
    ):
        answer = httpx.post(f"{address}/v2/models/iris/infer", json=given())
        _, call = GRPCInferenceServiceStub(channel).ModelInfer.with_call(given_to_grpc())
    told = [answer.headers["X-Prediction-Id"], dict(call.trailing_metadata())["x-prediction-id"]]
    served = [span for span in spans_of(otlp) if span.name == "predict iris"]
    assert [attributes_of(span)[semconv.PREDICTION_ID] for span in served] == told


@pytest.mark.parametrize("workers", [0, 1], ids=["in the server", "in a worker"])
def test_a_route_takes_verdicts(workers: int, tmp_path: Path) -> None:
    runtime = "served_by_mlserver.Iris"
    with receiver() as otlp, mlserver(tmp_path, workers, otlp, runtime=runtime) as (address, _):
        with httpx.Client(base_url=address) as client:
            assert client.post("/v2/models/iris/infer", json=given()).status_code == 200
            verdicts = [{"prediction_id": "night-17", "index": n, "label": 2} for n in range(3)]
            taken = client.post("/feedback", json=verdicts)
            refused = client.post("/feedback", json={"label": 2})
        assert (taken.status_code, taken.json().get("accepted")) == (202, 3), taken.text
        assert refused.status_code == 400
        assert "the prediction's id is empty" in refused.json()["error"]
    labels = [attributes_of(span) for _, span in otlp.spans(semconv.SCOPE_LABELS)]
    assert [label[semconv.PREDICTION_ID] for label in labels] == ["night-17"] * 3


def headers_of(n: int) -> dict[str, str]:
    """Of a caller who has a trace and an id of its own."""
    return {"traceparent": f"00-{n + 1:032x}-{n + 1:016x}-01", "X-Prediction-Id": f"order-{n}"}


async def ask_together(address: str, target: str) -> None:
    """Ask from several callers at once, of which the last speaks gRPC."""
    async with (
        httpx.AsyncClient(base_url=address, timeout=120) as client,
        grpc.aio.insecure_channel(target) as channel,
    ):

        async def ask(n: int) -> None:
            # Each has rows of its own, as many as its number and one more.
            rows = X[50 * n : 50 * n + n + 1]
            tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64"}
            body = {"inputs": [{**tensor, "data": rows.ravel().tolist()}]}
            answer = await client.post("/v2/models/iris/infer", json=body, headers=headers_of(n))
            assert answer.json()["outputs"][0]["data"] == MODEL.predict(rows).tolist()
            assert answer.headers.get_list("X-Prediction-Id") == [f"order-{n}"]

        async def ask_by_grpc(n: int) -> None:
            metadata = tuple((name.lower(), said) for name, said in headers_of(n).items())
            call = GRPCInferenceServiceStub(channel).ModelInfer(given_to_grpc(), metadata=metadata)
            await call
            assert dict(await call.trailing_metadata())["x-prediction-id"] == f"order-{n}"

        await asyncio.gather(*map(ask, range(TOGETHER - 1)), ask_by_grpc(TOGETHER - 1))


@pytest.mark.parametrize("workers", [0, 1], ids=["in the server", "in a worker"])
def test_a_batch_is_linked_to_all_requests_that_were_gathered(workers: int, tmp_path: Path) -> None:
    with (
        receiver() as otlp,
        mlserver(tmp_path, workers, otlp, TOGETHER) as (address, target),
    ):
        asyncio.run(ask_together(address, target))
    spans = spans_of(otlp)
    (batch,) = [span for span in spans if span.name == "batch iris"]
    calls = {
        attributes_of(span)[semconv.PREDICTION_ID]: span
        for span in spans
        if span.name == "predict iris"
    }
    assert sorted(calls) == [f"order-{n}" for n in range(TOGETHER)]
    for n in range(TOGETHER):
        found = attributes_of(call := calls[f"order-{n}"])
        assert int(call.trace_id.hex(), 16) == n + 1
        assert found[semconv.BATCH_SPAN_ID] == batch.span_id.hex()
        assert found[semconv.MODEL_VERSION] == "3"
    assert {link.span_id for link in batch.links} == {call.span_id for call in calls.values()}
    said = attributes_of(calls["order-2"])[semconv.OUTPUT_CLASSES_PREDICTED].values
    assert [text.string_value for text in said] == list(map(str, MODEL.predict(X[100:103])))
    stages = [span for span in spans if span.name == "LogisticRegression iris"]
    assert [span.parent_span_id for span in stages] == [batch.span_id] * (1 - workers)
    # What a worker was asked by its server is no prediction of its own.
    assert sum(span.name.startswith("predict ") for span in spans) == TOGETHER


def test_over_grpc_trace_and_id_come_through(tmp_path: Path) -> None:
    metadata = (("traceparent", "00-{}-{}-01".format(*CLIENT)), ("x-prediction-id", "row-1"))
    with (
        receiver() as otlp,
        mlserver(tmp_path, 0, otlp) as (_, target),
        grpc.insecure_channel(target) as channel,
    ):
        infer = GRPCInferenceServiceStub(channel).ModelInfer
        _, call = infer.with_call(given_to_grpc(), metadata=metadata)
    assert dict(call.trailing_metadata())["x-prediction-id"] == "row-1"
    (served,) = [span for span in spans_of(otlp) if span.name == "predict iris"]
    assert served.trace_id.hex() == CLIENT[0]
    assert len(attributes_of(served)[semconv.OUTPUT_CLASSES_PREDICTED].values) == len(X)


@pytest.mark.parametrize("named", [False, True])
def test_a_stub_of_grpc_is_a_client_too(named: bool, tmp_path: Path) -> None:
    request = given_to_grpc("night-17" if named else "")
    with (
        receiver() as otlp,
        mlserver(tmp_path, 0, otlp) as (_, target),
        grpc.insecure_channel(target) as channel,
        capture_spans() as spans,
    ):
        infer = open_inference.traced_method(
            GRPCInferenceServiceStub(channel).ModelInfer, task="multiclass_classification"
        )
        infer(request, timeout=30)
        asked = spans.prediction("iris")
        with pytest.raises(grpc.RpcError):
            infer(pb.ModelInferRequest(model_name="other"), timeout=30)
    found = dict(asked.attributes or {})
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == tuple(map(str, MODEL.predict(X)))
    assert found[semconv.INPUT_SHAPE] == "150x4"
    (served,) = [span for span in spans_of(otlp) if span.name == "predict iris"]
    assert served.trace_id.hex() == f"{asked.context.trace_id:032x}"
    assert attributes_of(served)[semconv.PREDICTION_ID] == found[semconv.PREDICTION_ID]
    assert (spans.prediction("other").attributes or {})[semconv.ERROR_TYPE]
    if named:
        assert found[semconv.PREDICTION_ID] == "night-17"
