"""Requests and answers whose tensors follow the JSON in bytes are read as those within it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import numpy as np
import pytest
import requests

from inferspan import inference_bodies, open_inference, semconv
from inferspan.testing import CapturedSpans
from servers.recording import Answer, answering

NAMES = ["scores", "label", "rest"]
"""Of which the one in the middle is the answer."""
VALUES: dict[str, Any] = {"scores": [0.75, 0.25, 0.5], "rest": [1, 2, 3]}
LABELS = ["a", "ü", ""]
SENT: list[bytes] = []
"""Bodies of requests."""
TYPES = {"scores": "FP64", "rest": "INT32", "label": "BYTES"}


def packed(name: str) -> bytes:
    if name == "label":
        texts = [label.encode() for label in LABELS]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.array(VALUES[name], "<f8" if name == "scores" else "<i4").tobytes()


def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """The model's name says which outputs are in bytes."""
    SENT.append(body)
    in_bytes = path.split("/")[3].split("-")
    outputs: list[dict[str, Any]] = []
    for name in NAMES:
        output: dict[str, Any] = {"name": name, "datatype": TYPES[name], "shape": [3, 1]}
        if name in in_bytes:
            output["parameters"] = {"binary_data_size": len(packed(name))}
        else:
            output["data"] = VALUES.get(name, LABELS)
        outputs.append(output)
    told = json.dumps({"outputs": outputs}).encode()
    raw = b"".join(packed(name) for name in NAMES if name in in_bytes)
    if "broken" in in_bytes:
        raw = raw[:3]
    if "cut" in in_bytes:  # within its only text
        outputs[:] = [{"name": "label", "datatype": "BYTES", "shape": [1]}]
        raw = (9).to_bytes(4, "little") + b"fra"
        outputs[0]["parameters"] = {"binary_data_size": len(raw)}
        told = json.dumps({"outputs": outputs}).encode()
    return Answer(200, told + raw, {"Inference-Header-Content-Length": str(len(told))})


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with answering(answer) as url:
        yield url


SOME = [some for n in (1, 2, 3) for some in itertools.combinations(NAMES, n)]


@pytest.mark.parametrize("in_bytes", SOME, ids="-".join)
@pytest.mark.parametrize("post", [httpx.post, requests.post])
def test_the_answer_is_found_behind_the_json(
    post: Any, in_bytes: tuple[str, ...], address: str, spans: CapturedSpans
) -> None:
    name = "-".join(in_bytes)
    response = open_inference.traced(post)(f"{address}/v2/models/{name}/infer", json={})
    assert response.content.startswith(b'{"outputs"')
    said = spans.prediction(name).attributes or {}
    assert list(said[semconv.OUTPUT_CLASSES_PREDICTED]) == LABELS  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["label-broken", "label-cut"])
def test_bytes_that_are_missing_are_no_answer(
    address: str, spans: CapturedSpans, name: str
) -> None:
    url = f"{address}/v2/models/{name}/infer"
    assert open_inference.traced(httpx.post)(url, json={}).status_code == 200
    said = spans.prediction(name).attributes or {}
    assert semconv.CAPTURE_DROPPED in said
    assert not {semconv.OUTPUT_CLASS, semconv.OUTPUT_CLASSES_PREDICTED} & set(said)


FEATURES = np.array([[2.0, 1.0], [9.0, 1.0], [4.0, 3.0]], "<f4")
ASKED = {
    "id": "order-17",
    "inputs": [
        {
            "name": "x",
            "shape": [3, 2],
            "datatype": "FP32",
            "parameters": {"binary_data_size": FEATURES.nbytes},
        }
    ],
}
JSON = json.dumps(ASKED).encode()
BODY = JSON + FEATURES.tobytes()
SIZE = {"Inference-Header-Content-Length": str(len(JSON))}
Headers = Mapping[str, str] | list[tuple[str, str]]


def with_httpx(url: str, body: Any, headers: Headers) -> Any:
    return open_inference.traced(httpx.post)(url, content=body, headers=headers)


def with_requests(url: str, body: Any, headers: Headers) -> Any:
    return open_inference.traced(requests.post)(url, data=body, headers=dict(headers))


def with_async_httpx(url: str, body: Any, headers: Headers) -> Any:
    async def main() -> Any:
        async with httpx.AsyncClient() as client:
            return await open_inference.traced(client.post)(url, content=body, headers=headers)

    return asyncio.run(main())


@pytest.mark.parametrize("ask", [with_httpx, with_requests, with_async_httpx])
@pytest.mark.parametrize("headers", [SIZE, [*SIZE.items()]], ids=["mapping", "pairs"])
def test_a_request_whose_tensors_follow_its_json_is_read(
    ask: Any, headers: Headers, address: str, spans: CapturedSpans
) -> None:
    assert ask(f"{address}/v2/models/label/infer", BODY, headers).status_code == 200
    assert SENT.pop() == BODY
    said = spans.prediction("label").attributes or {}
    assert said[semconv.PREDICTION_ID] == "order-17"
    assert (said[semconv.INPUT_SHAPE], said[semconv.INPUT_DTYPE]) == ("3x2", "FP32")


@pytest.mark.parametrize(
    "given", [JSON, bytearray(JSON), memoryview(JSON), JSON.decode()], ids=type
)
def test_a_request_of_json_in_bytes_is_read(given: Any, spans: CapturedSpans) -> None:
    seen: list[Any] = []

    def post(url: str, **options: Any) -> None:
        seen.append(options.pop("data"))
        assert options.keys() == {"headers"}

    open_inference.traced(post)("/v2/models/iris/infer", data=given)
    assert seen[0] is given
    said = spans.prediction("iris").attributes or {}
    assert said[semconv.PREDICTION_ID] == "order-17"
    assert said[semconv.INPUT_SHAPE] == "3x2"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{" + JSON, {}),
        (b"[]", {}),
        (BODY, {}),  # without saying where its JSON ends
        (BODY, {"inference-header-content-length": str(len(JSON) + 1)}),
        (BODY, {"inference-header-content-length": "no number"}),
        (BODY, {"inference-header-content-length": "-1"}),
        (b" " * inference_bodies.REQUEST_BYTES_MAX + JSON, {}),
        (iter([JSON]), {}),
        ({"form": "1"}, {}),
    ],
    ids=[
        "no JSON",
        "a list",
        "no length",
        "another length",
        "no number",
        "negative",
        "long",
        "once",
        "form",
    ],
)
def test_a_request_that_cannot_be_read_is_asked_all_the_same(
    body: Any, headers: Mapping[str, str], spans: CapturedSpans
) -> None:
    seen: list[Any] = []
    open_inference.traced(lambda url, **options: seen.append(options["data"]))(
        "/v2/models/iris/infer", data=body, headers=headers
    )
    assert seen[0] is body
    said = spans.prediction("iris").attributes or {}
    assert said[semconv.PREDICTION_ID] != "order-17"
    assert semconv.INPUT_SHAPE not in said


def test_as_much_json_as_is_read_is_read(spans: CapturedSpans) -> None:
    padded = JSON + b" " * (inference_bodies.REQUEST_BYTES_MAX - len(JSON))
    open_inference.traced(lambda url, **options: None)("/v2/models/iris/infer", content=padded)
    said = spans.prediction("iris").attributes or {}
    assert said[semconv.PREDICTION_ID] == "order-17"
