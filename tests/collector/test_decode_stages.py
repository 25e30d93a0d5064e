"""Spans of stages and phases of spans become rows; what is of no prediction is ignored."""

from __future__ import annotations

import pytest
from two_ways import assert_same

from inferspan import semconv
from inferspan_collector.batches import Decoded
from inferspan_collector.decode import decode_traces
from inferspan_collector.testing import (
    NOW_NS,
    AttributeValue,
    otlp_span,
    prediction_span,
    span_ids,
    traces_request,
)

TRACE, OWNER = span_ids("p1")
START_NS = NOW_NS - 1_000_000_000
Attributes = dict[str, AttributeValue]


def stage(attributes: Attributes | None = None, **span: object) -> object:
    """A stage of the prediction p1, as the SDK sends it."""
    span.setdefault("ids", (TRACE, b"\x00\x00\x00\x00\x00\x00\x00\x09"))
    span.setdefault("parent", OWNER)
    own: Attributes = {semconv.STAGE_NAME: "features"}
    return otlp_span("features fraud", own | (attributes or {}), **span)  # type: ignore[arg-type]


def decoded(*spans: object, scope: str = semconv.SCOPE_PREDICTIONS) -> Decoded:
    """A request of these spans, read both ways."""
    body = traces_request(spans, scope=scope).SerializeToString()  # type: ignore[arg-type]
    assert_same(decode_traces, body, NOW_NS)
    return decode_traces(body, json=False, received_ns=NOW_NS)


def rows(found: Decoded) -> list[tuple[str | None, str | None, int]]:
    """Stage, phase and duration of each row."""
    stages = found.stages
    return list(
        zip(stages.stage.objects(), stages.phase.objects(), stages.duration.tolist(), strict=True)
    )


@pytest.mark.parametrize("scope", [semconv.SCOPE_PREDICTIONS, "another.sdk"])
def test_a_stage_is_of_the_span_that_is_its_parent(scope: str) -> None:
    found = decoded(stage(), scope=scope)

    assert rows(found) == [("features", None, 5_000_000)]
    assert found.stages.owner.tolist() == [int.from_bytes(OWNER)]
    assert found.stages.span.tolist() == [9]
    assert found.stages.trace.tolist() == [[int.from_bytes(TRACE[:8]), int.from_bytes(TRACE[8:])]]
    assert found.stages.start_time.tolist() == [START_NS]
    assert found.stages.received.tolist() == [NOW_NS]
    assert (len(found.predictions), found.ignored) == (0, 0)


def test_a_stage_below_others_names_the_span_of_its_prediction() -> None:
    found = decoded(stage({semconv.PREDICTION_SPAN_ID: OWNER.hex()}, parent=b"\x07" * 8))

    assert found.stages.owner.tolist() == [int.from_bytes(OWNER)]


def test_phases_of_a_call_and_of_a_stage() -> None:
    phases: Attributes = {
        semconv.PHASE_QUEUE_DURATION: 0.25,
        semconv.PHASE_PREPROCESS_DURATION: 1,
        semconv.PHASE_COMPUTE_DURATION: 1.5e-9,
        semconv.PHASE_POSTPROCESS_DURATION: 0.0,
    }
    found = decoded(prediction_span("p1", phases), stage({semconv.PHASE_COMPUTE_DURATION: 0.002}))

    assert rows(found) == [
        (None, "queue", 250_000_000),
        (None, "preprocess", 1_000_000_000),
        (None, "compute", 2),
        (None, "postprocess", 0),
        ("features", None, 5_000_000),
        ("features", "compute", 2_000_000),
    ]
    assert set(found.stages.owner.tolist()) == {int.from_bytes(OWNER)}
    assert len(found.predictions) == 1


@pytest.mark.parametrize("value", [-0.001, float("nan"), float("inf"), 1e10, "fast"])
def test_a_phase_that_is_no_duration_costs_the_rest_nothing(value: AttributeValue) -> None:
    found = decoded(
        prediction_span("p1", {semconv.PHASE_QUEUE_DURATION: value}),
        stage({semconv.PHASE_QUEUE_DURATION: value}),
    )

    assert len(found.predictions) == 1
    assert rows(found) == [("features", None, 5_000_000)]
    assert [(r.signal, r.reason) for r in found.refused] == [("phases", "bad_duration")] * 2
    assert "seconds from 0 to 9e+09" in found.refused[0].message


@pytest.mark.parametrize(
    "span",
    [
        stage(parent=b""),
        stage(parent=bytes(8)),
        stage({semconv.PREDICTION_SPAN_ID: "07"}),
        stage({semconv.PREDICTION_SPAN_ID: 7}),
        stage({semconv.PREDICTION_SPAN_ID: "0" * 16}),
        stage({semconv.PREDICTION_SPAN_ID: OWNER.hex().upper() + "A"}),
        stage({semconv.STAGE_NAME: ""}),
        stage({semconv.STAGE_NAME: "x" * 2_000}),
        stage(duration_ns=-1),
        stage(start_ns=1),
        stage(ids=(bytes(16), b"\x01" * 8)),
    ],
)
def test_what_is_of_no_prediction_is_ignored(span: object) -> None:
    found = decoded(span)

    assert (len(found.stages), found.ignored, found.refused) == (0, 1, ())


def test_what_we_emit_is_ignored() -> None:
    found = decoded(stage(), scope=semconv.SCOPE_PROCESSOR)

    assert (len(found.stages), found.ignored) == (0, 1)


def test_a_prediction_that_is_refused_has_no_phases() -> None:
    phase: Attributes = {semconv.PHASE_QUEUE_DURATION: 0.25}
    found = decoded(
        prediction_span("p1", phase | {semconv.OPERATION_NAME: "guess"}),
        prediction_span("p2", phase),
    )

    assert len(found.predictions) == 1
    assert rows(found) == [(None, "queue", 250_000_000)]


def test_many_stages_among_predictions_keep_their_order() -> None:
    spans = []
    for number in range(600):
        spans.append(prediction_span(f"p{number}", {semconv.MODEL_VERSION: number % 50 or 1}))
        spans.append(
            stage(
                {semconv.STAGE_NAME: f"stage {number * 7 % 90}" if number % 3 else True},
                ids=(TRACE, number.to_bytes(8, "big")),
            )
        )
    found = decoded(*spans)

    assert found.stages.span.tolist() == list(range(1, 600))
    assert found.ignored == 1  # a span without an id
