"""Bytes → messages: protobuf and JSON say the same, and no bytes crash the decoder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_rows import FEATURE_COLUMNS, features_of
from inferspan import semconv
from inferspan_collector.batches import Decoded, PredictionBatch
from inferspan_collector.decode import MalformedRequest, decode_logs, decode_traces, wire
from inferspan_collector.testing import (
    NOW_NS,
    label_span,
    log_record,
    logs_request,
    otlp_json,
    prediction_span,
    span_ids,
    traces_request,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.floats(width=64)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.one_of(TEXTS, st.booleans(), INTEGERS, NUMBERS, st.binary(max_size=8))
VALUES = st.one_of(SCALARS, st.lists(st.one_of(st.none(), SCALARS), max_size=4))
NAMES = [
    value
    for name, value in vars(semconv).items()
    if name.isupper() and isinstance(value, str) and value.startswith("inferspan.")
]
ATTRIBUTES = st.dictionaries(
    st.one_of(st.sampled_from(NAMES), TEXTS.map(lambda key: semconv.SLICE_PREFIX + key)),
    VALUES,
    max_size=8,
)
IDS = st.tuples(
    st.one_of(st.binary(min_size=16, max_size=16), st.binary(max_size=20)),
    st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=10)),
)
SCOPES = st.sampled_from(
    [semconv.SCOPE_PREDICTIONS, semconv.SCOPE_LABELS, semconv.SCOPE_RECORDS, "other"]
)


@st.composite
def trace_requests(draw):
    spans = [
        (draw(st.sampled_from([prediction_span, label_span])))(
            draw(TEXTS),
            # Any count is allowed on the wire; here it would only make the test slow.
            {k: v for k, v in draw(ATTRIBUTES).items() if k != semconv.PREDICTION_COUNT},
            ids=draw(IDS),
            kind=draw(st.integers(0, 5)),
            start_ns=draw(st.integers(0, 2**64 - 1 - 10**10)),
            duration_ns=draw(st.integers(0, 10**10)),
            links=draw(st.lists(IDS, max_size=2)),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    return traces_request(spans, scope=draw(SCOPES), resource=draw(ATTRIBUTES))


def facts(decoded: Decoded) -> object:
    """All of a decoded request but its size, comparable (NaN equals NaN)."""

    def columns(batch):
        found = {}
        if isinstance(batch, PredictionBatch):
            found["features"] = features_of(batch)
        for name in type(batch).__slots__:
            if name in FEATURE_COLUMNS:
                continue
            column = getattr(batch, name)
            if name == "slices":
                found[name] = {key: value.objects().tolist() for key, value in column.items()}
            else:
                entries = (column if isinstance(column, np.ndarray) else column.objects()).tolist()
                found[name] = [
                    "NaN" if isinstance(e, float) and math.isnan(e) else e for e in entries
                ]
        return found

    return (
        columns(decoded.predictions),
        columns(decoded.labels),
        columns(decoded.stages),
        decoded.refused,
        decoded.ignored,
        decoded.clock_skewed,
    )


@given(trace_requests())
def test_json_and_protobuf_give_the_same(request) -> None:
    body, text = request.SerializeToString(), otlp_json(request)
    by_protobuf = decode_traces(body, json=False, received_ns=NOW_NS)
    by_json = decode_traces(text, json=True, received_ns=NOW_NS)
    assert facts(by_protobuf) == facts(by_json)
    assert (by_protobuf.size_bytes, by_json.size_bytes) == (len(body), len(text))


WHOLE = traces_request(
    [
        prediction_span("a", {semconv.OUTPUT_SCORES: [0.5], semconv.SLICE_PREFIX + "k": "v"}),
        prediction_span("b", {semconv.PREDICTION_IDS: ["b1", "b2"]}),
    ],
    resource={semconv.SERVICE_NAME: "s"},
)
WHOLE.MergeFrom(
    traces_request(
        [label_span("a", {semconv.LABEL_CLASS: "x"}, links=[span_ids("a")])],
        scope=semconv.SCOPE_LABELS,
    )
)
EVENTS = logs_request(
    [
        log_record(
            semconv.EVENT_EVALUATION_RESULT,
            {semconv.GEN_AI_EVALUATION_NAME: "n", semconv.GEN_AI_EVALUATION_SCORE_VALUE: 0.5},
            context=span_ids("a"),
        )
    ]
)


@st.composite
def damaged(draw, body: bytes) -> bytes:
    mutated = bytearray(body)
    for _ in range(draw(st.integers(1, 8))):
        position = draw(st.integers(0, len(mutated) - 1))
        action = draw(st.sampled_from(["replace", "delete", "insert", "cut"]))
        if action == "replace":
            mutated[position] = draw(st.integers(0, 255))
        elif action == "delete" and len(mutated) > 1:
            del mutated[position]
        elif action == "insert":
            mutated[position:position] = draw(st.binary(min_size=1, max_size=4))
        elif action == "cut" and position > 0:
            del mutated[position:]
    return bytes(mutated)


@pytest.mark.parametrize(
    ("decode", "body", "as_json"),
    [
        (decode_traces, WHOLE.SerializeToString(), False),
        (decode_traces, otlp_json(WHOLE), True),
        (decode_logs, EVENTS.SerializeToString(), False),
        (decode_logs, otlp_json(EVENTS), True),
    ],
)
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(decode, body, as_json, data) -> None:
    mutated = data.draw(damaged(body))
    try:
        decoded = decode(mutated, json=as_json, received_ns=NOW_NS)
    except MalformedRequest:
        return
    assert len(decoded.labels.label_id) == len(decoded.labels.time)


@given(st.binary(max_size=200), st.booleans())
def test_noise_is_read_or_refused(body: bytes, as_json: bool) -> None:
    for decode in (decode_traces, decode_logs):
        try:
            decode(body, json=as_json, received_ns=NOW_NS)
        except MalformedRequest:
            continue


JSON_KEYS = [
    *("resourceSpans", "resource", "scopeSpans", "spans", "traceId", "kind", "links"),
    *("attributes", "key", "value", "stringValue", "arrayValue", "values"),
]
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(JSON_KEYS), inner, max_size=3),
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_json_of_any_shape_is_read_or_refused(document) -> None:
    try:
        decode_traces(json.dumps(document).encode(), json=True, received_ns=NOW_NS)
    except MalformedRequest:
        return


ODD_VALUES = st.sampled_from(
    [
        *(None, True, 10**400, -(2**63) - 1, 2**64, -0.0, 1e308, float("inf"), float("nan")),
        *("", "x", "9" * 400, "1e5", "zz", "\ud800", "\0", [], [1], [[1]], {}, {"a": 1}),
    ]
)


@given(st.data())
def test_json_with_anything_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    document = json.loads(otlp_json(traces_request([prediction_span("a", {"k": 0.5, "n": 1})])))
    for _ in range(data.draw(st.integers(1, 3))):
        held = data.draw(st.sampled_from([*_containers(document)]))
        keys = st.sampled_from([*range(len(held))] if isinstance(held, list) else [*held])
        odd_keys = st.sampled_from(["\ud800", "\0", "kind", "value", "spans"])
        key = data.draw(keys if isinstance(held, list) else keys | odd_keys)
        held[key] = deepcopy(data.draw(ODD_VALUES))
    try:
        decode_traces(json.dumps(document).encode(), json=True, received_ns=NOW_NS)
    except MalformedRequest:
        return


def _containers(node: Any) -> Iterator[Any]:
    """All lists and objects that hold something."""
    if isinstance(node, list | dict) and node:
        yield node
        for each in node.values() if isinstance(node, dict) else node:
            yield from _containers(each)


# --- what OTLP/JSON allows ------------------------------------------------------------------------


def json_span(**changes: object) -> bytes:
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "eee19b7ec3c1b174",
        "name": "predict fraud",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        "attributes": [
            {"key": semconv.MODEL_NAME, "value": {"stringValue": "fraud"}},
            {"key": semconv.OPERATION_NAME, "value": {"stringValue": "predict"}},
            {"key": semconv.PREDICTION_COUNT, "value": {"intValue": "2"}},
        ],
    }
    scope = {"scope": {"name": semconv.SCOPE_PREDICTIONS}, "spans": [span | changes]}
    return json.dumps({"resourceSpans": [{"scopeSpans": [scope]}]}).encode()


def decode_json(body: bytes) -> Decoded:
    return decode_traces(body, json=True, received_ns=NOW_NS)


def test_ids_in_either_case_and_int64_as_text_or_number() -> None:
    batch = decode_json(json_span()).predictions
    assert batch.trace[0].tolist() == [0x5B8EFFF798038103, 0xD269B633813FC60C]
    assert batch.span[0] == 0xEEE19B7EC3C1B174
    assert (batch.start_time[0], batch.duration[0]) == (1544712660000000000, 1_000_000_000)
    assert len(batch) == 2


@pytest.mark.parametrize("kind", [3, "SPAN_KIND_CLIENT"])
def test_enums_as_integers_or_names(kind: object) -> None:
    assert decode_json(json_span(kind=kind)).predictions.kind[0] == 3


def test_unknown_fields_and_kinds_are_ignored() -> None:
    decoded = decode_json(json_span(novelty={"a": [1]}, kind=77))
    assert decoded.predictions.kind.tolist() == [0, 0]


def test_an_id_of_the_wrong_length_refuses_its_span_alone() -> None:
    decoded = decode_json(json_span(traceId="5b8e"))
    assert [r.reason for r in decoded.refused] == ["bad_trace_id"]


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"7",
        b"{",
        b'{"resourceSpans": 7}',
        b'{"resourceSpans": [7]}',
        b"\xff\xfe",
        json_span(traceId="xyz"),
        json_span(traceId="5b8"),
        json_span(traceId=7),
        json_span(startTimeUnixNano="soon"),
        json_span(startTimeUnixNano=-1),
        json_span(name="\ud800"),
        json_span(**{"\ud800": 1}),
        json_span(startTimeUnixNano=float("inf")),
        json_span(attributes=[{"key": "k", "value": {"doubleValue": 10**400}}]),
        b'{"resourceSpans":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_json_that_is_not_otlp_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest, match="OTLP/JSON"):
        decode_json(body)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("decode", [decode_traces, decode_logs])
def test_an_empty_body_is_an_empty_request(decode, as_json: bool) -> None:
    decoded = decode(b"", json=as_json, received_ns=NOW_NS)
    assert (len(decoded.predictions), len(decoded.labels), decoded.refused) == (0, 0, ())


@pytest.mark.parametrize(
    "values", ['{"resourceSpans":[%s{}]}', '{"unknown":[%s[]]}', '{"resourceLogs":[{"x":[%s1]}]}']
)
def test_json_of_too_many_values_is_refused_before_it_is_read(values: str) -> None:
    few, many = ((values % ("{}," * n)).encode() for n in (100, wire.JSON_VALUES_MAX // 2))
    for decode in (decode_traces, decode_logs):
        assert len(decode(few, json=True, received_ns=1).predictions) == 0
        with pytest.raises(wire.MalformedRequest, match="send smaller batches"):
            decode(many, json=True, received_ns=1)


@pytest.mark.parametrize("body", [b"\x0a\x00", b"\x0a\x02\x12\x00"])
def test_empty_resources_and_scopes_have_a_limit(body: bytes) -> None:
    limit = wire.GROUPS_MAX // len(body) * 2
    for decode in (decode_traces, decode_logs):
        assert len(decode(body * limit, json=False, received_ns=1).predictions) == 0
        with pytest.raises(wire.MalformedRequest, match="send smaller batches"):
            decode(body * (limit + 1), json=False, received_ns=1)
