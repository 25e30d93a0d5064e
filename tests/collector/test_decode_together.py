"""Requests that are read as one give what each of them gives by itself, stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mapped_spans import mapper
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_requests import trace_requests
from two_ways import facts

from inferspan import semconv
from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch, StageBatch
from inferspan_collector.decode import (
    MalformedRequest,
    decode_traces,
    decode_traces_together,
)
from inferspan_collector.testing import NOW_NS, label_span, prediction_span, traces_request

SLOW = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
OUTPUT = {semconv.OUTPUT_CLASS: "fraud", semconv.OUTPUT_SCORE: 0.75}


def stacked(bodies: Sequence[bytes]) -> Decoded:
    """What they give one by one."""
    each = [decode_traces(body, json=False, received_ns=NOW_NS) for body in bodies]
    return replace(
        each[0],
        predictions=PredictionBatch.concat([one.predictions for one in each]),
        labels=LabelBatch.concat([one.labels for one in each]),
        stages=StageBatch.concat([one.stages for one in each]),
        refused=tuple(refusal for one in each for refusal in one.refused),
        ignored=sum(one.ignored for one in each),
        clock_skewed=sum(one.clock_skewed for one in each),
    )


@st.composite
def ordinary(draw) -> bytes:
    """A request of some sender: its predictions, labels, and spans that are none of ours."""
    resource = draw(
        st.dictionaries(
            st.sampled_from([semconv.SERVICE_NAME, semconv.DEPLOYMENT_ENVIRONMENT_NAME]),
            st.sampled_from(["a", "b", "ü"]),
        )
    )
    spans = [
        prediction_span(
            draw(st.sampled_from(["p1", "p2", "é" * 20])),
            OUTPUT
            | draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        semconv.MODEL_VERSION: st.sampled_from(["7", "8"]),
                        semconv.SLICE_PREFIX + "country": st.sampled_from(["DE", "FR"]),
                        semconv.SLICE_PREFIX + "tier": st.sampled_from(["x", "y"]),
                    },
                )
            )
            | draw(
                st.sampled_from(
                    [{}, {semconv.FEATURE_NAMES: '["a","b"]', semconv.FEATURE_DATA: bytes(16)}]
                )
            ),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    labels = [
        label_span("p1", {semconv.LABEL_CLASS: draw(st.sampled_from(["fraud", "legit"]))})
        for _ in range(draw(st.integers(0, 2)))
    ]
    request = traces_request([], resource={semconv.SERVICE_NAME: "empty"})
    request.MergeFrom(traces_request(spans, resource=resource))
    request.MergeFrom(traces_request(labels, resource=resource, scope=semconv.SCOPE_LABELS))
    request.MergeFrom(traces_request([prediction_span("x")], scope="of.others"))
    return request.SerializeToString()


@SLOW
@given(st.lists(ordinary(), min_size=1, max_size=4))
def test_what_is_ordinary_is_read_as_one(bodies: list[bytes]) -> None:
    together = decode_traces_together(bodies, received_ns=NOW_NS)
    assert together is not None
    assert together.places == tuple(range(len(bodies)))
    assert facts(together.decoded) == facts(stacked(bodies))
    assert together.decoded.size_bytes == sum(map(len, bodies))


@SLOW
@given(
    st.lists(st.one_of(ordinary(), trace_requests()), min_size=2, max_size=3),
    st.integers(0, 2**32),
    st.integers(0, 2),
)
def test_whatever_else_is_among_them_is_left_or_read_alike(
    requests: list[bytes | ExportTraceServiceRequest], seed: int, damage: int
) -> None:
    bodies = [one if isinstance(one, bytes) else one.SerializeToString() for one in requests]
    bodies[0] = damaged(bodies[0], seed, damage)
    together = decode_traces_together(bodies, received_ns=NOW_NS)
    if together is None:
        return
    assert not together.decoded.refused
    try:
        alone = stacked([bodies[place] for place in together.places])
    except MalformedRequest as error:
        raise AssertionError("a malformed request was read among others") from error
    assert facts(together.decoded) == facts(alone)


def test_whom_anything_has_to_be_told_is_read_by_itself() -> None:
    good = traces_request([prediction_span("p", OUTPUT)]).SerializeToString()
    refused = traces_request([prediction_span("p", OUTPUT, model="")]).SerializeToString()
    of_others = traces_request([prediction_span("q")], scope="vendor").SerializeToString()
    of_vendor = {"match": {"scope": "vendor"}, "prediction": {"model": {"attribute": "m"}}}
    rule = mapper([{"name": "vendor", **of_vendor}])
    labelled = traces_request(
        [label_span("p", {semconv.LABEL_CLASS: "fraud"})], scope=semconv.SCOPE_LABELS
    ).SerializeToString()

    def read_as_one(bodies: list[bytes], **said: Any) -> list[bytes]:
        together = decode_traces_together(bodies, received_ns=NOW_NS, **said)
        if together is None:
            return []
        some = [bodies[place] for place in together.places]
        assert facts(together.decoded) == facts(stacked(some))
        return some

    for other in (refused, b"\x0a\xff", b""):
        assert read_as_one([other, good, other, good]) == [good, good]
        assert read_as_one([other, other]) == []
    assert read_as_one([good, of_others]) == [good, of_others]
    assert read_as_one([good, of_others], mapper=rule) == [good]
    assert read_as_one([good, labelled], labels=False) == [good]


def test_rows_are_announced_before_they_are_made() -> None:
    announced: list[int] = []
    bodies = [
        traces_request([prediction_span(f"p{n}-{k}", OUTPUT) for k in range(n)]).SerializeToString()
        for n in (2, 3)
    ]
    decode_traces_together(bodies, received_ns=NOW_NS, reserve=announced.append)
    assert sum(announced) == 5
