"""A real MLServer that nobody changed, asked by a client of ours: one trace, one id, two spans."""

from __future__ import annotations

import json
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
CLIENT = ("a" * 32, "b" * 16)
TOLD = {
    "inferspan.task.type": "multiclass_classification",
    "inferspan.output.classes": [0, 1, 2],
}


def write(folder: Path, workers: int) -> tuple[int, int]:
    """Settings of a server with one model; its ports for HTTP and gRPC."""
    http, rpc, metrics = free_ports(3)
    joblib.dump(MODEL, folder / "model.joblib")
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
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": parameters,
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return http, rpc


@contextmanager
def mlserver(folder: Path, workers: int, otlp: Receiver) -> Iterator[tuple[str, str]]:
    """Addresses of MLServer, traced without a line; it has ended when the block is left."""
    http, rpc = write(folder, workers)
    bin_ = Path(sys.executable).parent
    address = f"http://127.0.0.1:{http}"
    with serving(
        [bin_ / "opentelemetry-instrument", bin_ / "mlserver", "start", folder],
        f"{address}/v2/models/iris/ready",
        folder / "log",
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


def test_over_grpc_trace_and_id_come_through(tmp_path: Path) -> None:
    metadata = (("traceparent", "00-{}-{}-01".format(*CLIENT)), ("x-prediction-id", "row-1"))
    with (
        receiver() as otlp,
        mlserver(tmp_path, 0, otlp) as (_, target),
        grpc.insecure_channel(target) as channel,
    ):
        GRPCInferenceServiceStub(channel).ModelInfer(given_to_grpc(), metadata=metadata)
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
