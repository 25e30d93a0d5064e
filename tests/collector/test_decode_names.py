"""Other names of predictions: read of their spans, whichever way these are read."""

from __future__ import annotations

import pytest

from inferspan import semconv
from inferspan_collector.batches import Decoded
from inferspan_collector.decode import decode_traces
from inferspan_collector.testing import NOW_NS, prediction_span, traces_request


def decode(*attributes: dict[str, object], compiled: bool = True) -> Decoded:
    spans = [
        prediction_span(f"p{n}", {semconv.OUTPUT_CLASS: "a", **said})  # type: ignore[dict-item]
        for n, said in enumerate(attributes)
    ]
    body = traces_request(spans).SerializeToString()
    return decode_traces(body, json=False, received_ns=NOW_NS, compiled=compiled)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_names_of_a_span_are_read(compiled: bool) -> None:
    found = decode(
        {},
        {semconv.ENTITY_ID: "customer-1"},
        {semconv.GEN_AI_RESPONSE_ID: "chatcmpl-1"},
        compiled=compiled,
    )

    assert found.predictions.prediction_id.objects().tolist() == ["p0", "p1", "p2"]
    names = found.named
    assert names is not None
    assert names.entity_id.objects().tolist() == ["customer-1", None]
    assert names.response_id.objects().tolist() == [None, "chatcmpl-1"]
    assert names.prediction_id.objects().tolist() == ["p1", "p2"]
    assert names.model.objects().tolist() == ["fraud", "fraud"]
    rows = found.predictions.take(found.predictions.index == 0)
    assert names.span.tolist() == rows.span.tolist()[1:]
    assert names.event_time.tolist() == rows.event_time.tolist()[1:]


def test_each_row_of_a_batch_has_its_spans_name() -> None:
    ids = {semconv.PREDICTION_IDS: ["a", "b"], semconv.PREDICTION_COUNT: 2}
    found = decode(
        {**ids, semconv.ENTITY_ID: "customer-1", semconv.OUTPUT_CLASSES_PREDICTED: ["x", "y"]}
    )

    assert found.named is not None
    assert found.named.span_row.tolist() == [0, 1]
    assert found.named.entity_id.objects().tolist() == ["customer-1", "customer-1"]


@pytest.mark.parametrize("name", ["", "x" * 5_000, ["a"]])
def test_what_is_no_name_leaves_the_prediction_as_it_is(name: object) -> None:
    found = decode({semconv.GEN_AI_RESPONSE_ID: name})

    assert len(found.predictions) == 1
    assert found.named is None
    assert found.refused == ()
