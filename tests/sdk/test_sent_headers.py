"""Headers of a caller's own beside those of a prediction: none is lost, changed or doubled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from inferspan import open_inference, semconv
from inferspan.testing import CapturedSpans

OTHER = "00-" + "1" * 32 + "-" + "2" * 16 + "-00"
TWICE = [("X-A", "1"), ("X-A", "2")]
SENT = {"traceparent", "x-prediction-id"}
Asked = list[httpx.Request]


def asked(headers: Any, *, of_client: Any = None, through: Callable[..., Any] = partial) -> Asked:
    """What the server was asked, bare and then traced."""
    seen: Asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"outputs": []})

    transport = httpx.MockTransport(answer)
    with httpx.Client(transport=transport, base_url="http://models", headers=of_client) as client:
        post = through(client.post)
        for call in (post, open_inference.traced(post)):
            call("/v2/models/iris/infer", json={}, **headers)
    return seen


def without_own(request: httpx.Request) -> list[tuple[str, str]]:
    return [pair for pair in request.headers.multi_items() if pair[0] not in SENT]


KINDS: dict[str, Any] = {
    "pairs": TWICE,
    "tuple": tuple(TWICE),
    "httpx": httpx.Headers(TWICE),
    "mapping": {"X-A": "1"},
    "bytes": {b"X-A": b"\xe9"},
    "view": MappingProxyType({"X-A": "1"}),
    "empty": {},
    "absent": None,
}


@pytest.mark.parametrize("headers", KINDS.values(), ids=KINDS)
def test_headers_arrive_as_they_would_untraced(headers: Any, spans: CapturedSpans) -> None:
    before = repr(headers)
    bare, traced = asked({"headers": headers})
    assert without_own(traced) == without_own(bare)
    assert repr(headers) == before
    span = spans.prediction("iris")
    found = (span.attributes or {})[semconv.PREDICTION_ID]
    assert traced.headers["x-prediction-id"] == found
    assert f"{span.context.trace_id:032x}" in traced.headers["traceparent"]


@pytest.mark.parametrize(
    "own",
    [
        {b"Traceparent": OTHER.encode(), b"X-Prediction-Id": b"mine"},
        [("Traceparent", OTHER), ("X-Prediction-Id", "mine")],
        [(b"traceparent", OTHER.encode()), (b"x-prediction-id", b"mine")],
        httpx.Headers({"Traceparent": OTHER, "X-Prediction-Id": "mine"}),
    ],
    ids=["bytes", "pairs", "pairs of bytes", "httpx"],
)
@pytest.mark.parametrize("said_by", ["call", "client", "partial"])
def test_such_headers_of_the_callers_own_are_sent_alone(
    said_by: str, own: Any, spans: CapturedSpans
) -> None:
    if said_by == "call":
        bare, traced = asked({"headers": own})
    elif said_by == "client":
        bare, traced = asked({}, of_client=own)
    else:
        bare, traced = asked({}, through=partial(partial, headers=own))
    assert traced.headers.multi_items() == bare.headers.multi_items()
    assert spans.prediction("iris")


def test_headers_that_a_partial_sets_are_sent(spans: CapturedSpans) -> None:
    bare, traced = asked({}, through=partial(partial, headers=TWICE))
    assert without_own(traced) == without_own(bare)
    assert set(traced.headers) >= SENT


def test_pairs_that_can_be_read_once_are_sent(spans: CapturedSpans) -> None:
    seen: Asked = []

    def post(url: str, *, json: object, headers: Any) -> None:
        seen.append(httpx.Request("POST", f"http://models{url}", headers=headers, json=json))

    open_inference.traced(post)("/v2/models/iris/infer", json={}, headers=iter(TWICE))
    (traced,) = seen
    assert traced.headers.get_list("X-A") == ["1", "2"]
    assert set(traced.headers) >= SENT
