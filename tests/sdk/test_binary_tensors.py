"""Answers of model servers whose tensors follow the JSON in bytes are read as those within it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import numpy as np
import pytest
import requests

from inferspan import open_inference, semconv
from inferspan.testing import CapturedSpans
from servers.recording import Answer, answering

NAMES = ["scores", "label", "rest"]
"""Of which the one in the middle is the answer."""
VALUES: dict[str, Any] = {"scores": [0.75, 0.25, 0.5], "rest": [1, 2, 3]}
LABELS = ["a", "ü", ""]
TYPES = {"scores": "FP64", "rest": "INT32", "label": "BYTES"}


def packed(name: str) -> bytes:
    if name == "label":
        texts = [label.encode() for label in LABELS]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.array(VALUES[name], "<f8" if name == "scores" else "<i4").tobytes()


def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """The model's name says which outputs are in bytes."""
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
