"""Metadata of a caller's own beside that of a prediction, in calls of a stub of gRPC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from inferspan import open_inference
from inferspan.testing import CapturedSpans

REQUEST = SimpleNamespace(model_name="iris", model_version="3", id="order-17", inputs=[])
ANSWER = SimpleNamespace(outputs=[], raw_output_contents=[])
OWN = (("authorization", "a"), ("authorization", "b"))
Seen = list[tuple[Any, Any]]


class Stub:
    """Called as the methods of the stubs of `grpc` are."""

    def __init__(self) -> None:
        self.seen: Seen = []

    def infer(self, request: Any, timeout: Any = None, metadata: Any = None) -> Any:
        assert request is REQUEST
        self.seen.append((timeout, metadata))
        return ANSWER

    def handed_on(self, *args: Any, **kwargs: Any) -> Any:
        return self.infer(*args, **kwargs)

    def by_name(self, request: Any, *, timeout: Any = None, metadata: Any = None) -> Any:
        return self.infer(request, timeout, metadata)


def test_metadata_by_position_is_sent_with_the_predictions(spans: CapturedSpans) -> None:
    stub = Stub()
    for infer in (stub.infer, stub.handed_on):
        assert open_inference.traced_method(infer)(REQUEST, 5, OWN) is ANSWER
    assert len(list(spans)) == len(stub.seen)
    for timeout, metadata in stub.seen:
        assert (timeout, metadata[:2]) == (5, OWN)
        assert dict(metadata)["x-prediction-id"] == "order-17"
        assert "traceparent" in dict(metadata)


@pytest.mark.parametrize(
    "call",
    [
        lambda infer: infer(REQUEST),
        lambda infer: infer(REQUEST, timeout=5),
        lambda infer: infer(REQUEST, metadata=None),
        lambda infer: infer(request=REQUEST, metadata=OWN),
    ],
)
@pytest.mark.parametrize("method", ["infer", "by_name"])
def test_metadata_by_name_or_none_is_sent_with_the_predictions(
    call: Callable[[Any], Any], method: str, spans: CapturedSpans
) -> None:
    stub = Stub()
    assert call(open_inference.traced_method(getattr(stub, method))) is ANSWER
    ((_, metadata),) = stub.seen
    assert dict(metadata)["x-prediction-id"] == "order-17"


def test_metadata_that_a_partial_sets_is_sent(spans: CapturedSpans) -> None:
    stub = Stub()
    open_inference.traced_method(partial(stub.infer, metadata=OWN))(REQUEST, 5)
    ((timeout, metadata),) = stub.seen
    assert (timeout, metadata[:2]) == (5, OWN)


def test_such_metadata_of_the_callers_own_is_sent_alone(spans: CapturedSpans) -> None:
    stub, own = Stub(), (("x-prediction-id", "mine"), ("traceparent", "theirs"))
    open_inference.traced_method(stub.infer)(REQUEST, None, own)
    assert stub.seen == [(None, own)]


def test_what_is_no_metadata_is_the_callers(
    spans: CapturedSpans, contained_errors: list[BaseException]
) -> None:
    stub = Stub()
    open_inference.traced_method(stub.infer)(REQUEST, None, 7)
    assert stub.seen == [(None, 7)]
    contained_errors.clear()


def test_a_request_without_a_readable_id_is_sent(
    spans: CapturedSpans, contained_errors: list[BaseException]
) -> None:
    class Broken:
        model_name, model_version, inputs = "iris", "3", ()

        @property
        def id(self) -> str:
            raise OSError("gone")

    request, seen = Broken(), []

    def infer(request: Any, metadata: Any = None) -> Any:
        seen.append(request)
        return ANSWER

    assert open_inference.traced_method(infer)(request) is ANSWER
    assert seen == [request]
    assert spans.prediction("iris")
    contained_errors.clear()
