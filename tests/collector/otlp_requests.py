"""Strategies of export requests as senders write them, with anything odd among them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from inferspan import semconv
from inferspan_collector.testing import NOW_NS, key_values

SECOND_NS = 10**9
# What most senders write, and what few do: texts that change in NFC, that are too long or hold
# control characters; types that are read as others, or refused.
TEXTS = st.sampled_from(
    [
        "a",
        "b",
        "fraud",
        "legit",
        "",
        "é",
        "e\u0301",
        "a\nb",
        "x" * 127,
        "x" * 130,
        "7",
        "1e3",
        "€" * 400,
    ]
)
ODD = st.one_of(
    TEXTS,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    st.booleans(),
    st.sampled_from([0, 1, -1, 7, 2**31, 2**63 - 1, -(2**63), NOW_NS, NOW_NS + 3600 * SECOND_NS]),
    st.sampled_from([0.5, 1.0, -0.0, float("nan"), float("inf"), 1e300, 38.5]),
    st.binary(max_size=17),
    st.lists(st.one_of(TEXTS, st.sampled_from([0.5, 1, True])), max_size=3),
    st.lists(st.floats(0, 1), min_size=2, max_size=2),
)
NAMES = sorted(
    {
        value
        for name, value in vars(semconv).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }
)
SLICES = st.sampled_from(
    ["country", "tier", "a.b", "", "é", "k1", "k2", "k3", "k4", "k5", "k6", "k7"]
)
CLASSES = st.sampled_from(["fraud", "legit", "é", "e\u0301", "3"])
PREDICTION: dict[str, st.SearchStrategy[Any]] = {
    semconv.OPERATION_NAME: st.sampled_from(["predict", "rank"]),
    semconv.MODEL_NAME: st.sampled_from(["fraud", "churn", "mödel"]),
    semconv.PREDICTION_ID: st.sampled_from(["p1", "p2", "é" * 30, "x" * 128]),
    semconv.MODEL_VERSION: st.sampled_from(["7", "8"]),
    semconv.TASK_TYPE: st.sampled_from([semconv.BINARY, semconv.REGRESSION]),
    semconv.OUTPUT_POSITIVE_CLASS: CLASSES,
    semconv.OUTPUT_CLASS: CLASSES,
    semconv.OUTPUT_SCORE: st.sampled_from([0.25, 0.75, 1]),
    semconv.OUTPUT_VALUE: st.sampled_from([38.5, 2]),
    semconv.SLICE_PREFIX + "country": st.sampled_from(["DE", "FR"]),
    semconv.EVENT_TIME_UNIX_NANO: st.sampled_from([NOW_NS - SECOND_NS, NOW_NS + 900 * SECOND_NS]),
    semconv.ERROR_TYPE: st.sampled_from(["ValueError"]),
    semconv.FEATURE_NAMES: st.just('["a","b"]'),
    semconv.FEATURE_DATA: st.sampled_from([bytes(16), bytes(16), bytes(8)]),
    semconv.FEATURE_CATEGORY_NAMES: st.just('["c"]'),
    semconv.FEATURE_CATEGORY_VALUES: st.sampled_from([["x"], ["y"], ["x", "y"]]),
    semconv.OUTPUT_CLASSES: st.sampled_from(
        [
            '["fraud","legit"]',
            '["fraud","fraud"]',
            '["fraud","le',
            '["fraud",1]',
            ["fraud", "legit"],
            ["fraud", "fraud"],
        ]
    ),
    semconv.OUTPUT_PROBABILITIES: st.just([0.25, 0.75]),
    semconv.ENTITY_ID: st.sampled_from(["customer-1", "customer-2"]),
    semconv.GEN_AI_RESPONSE_ID: st.sampled_from(["r-1", "a\nb"]),
    semconv.CAPTURE_DROPPED: st.just(["output:none"]),
    semconv.INPUT_VALUE: st.just('{"a":1}'),
    semconv.PHASE_QUEUE_DURATION: st.sampled_from([0.25, 1]),
    semconv.PHASE_COMPUTE_DURATION: st.sampled_from([0.002, -1.0]),
}
STAGE: dict[str, st.SearchStrategy[Any]] = {
    semconv.STAGE_NAME: st.sampled_from(["features", "é"]),
    semconv.PREDICTION_SPAN_ID: st.sampled_from(["00000000000000ff", "f" * 16, "F" * 16, "ff"]),
    semconv.PHASE_COMPUTE_DURATION: st.sampled_from([0.002, 3]),
    semconv.PHASE_POSTPROCESS_DURATION: st.sampled_from([1e-9, 9e9]),
}
LABEL: dict[str, st.SearchStrategy[Any]] = {
    semconv.LABEL_ID: st.sampled_from(["l1", "l2", "é"]),
    semconv.MODEL_NAME: st.sampled_from(["fraud", "churn"]),
    semconv.PREDICTION_ID: st.sampled_from(["p1", "p2"]),
    semconv.LABEL_CLASS: st.sampled_from(["fraud", "legit", "1e3", True, 4, 0.5]),
    semconv.LABEL_VALUE: st.sampled_from([38.5, 2, 1e300]),
    semconv.LABEL_TEXT: st.sampled_from(["because", "a\nb", "é"]),
    semconv.TARGET_NAME: st.sampled_from(["default", "chargeback"]),
    semconv.TARGET_KIND: st.sampled_from(semconv.TARGET_KINDS),
    semconv.LABEL_TIME_UNIX_NANO: st.sampled_from([NOW_NS - 1, NOW_NS + 900 * SECOND_NS]),
    semconv.LABEL_REVISION: st.integers(0, 3),
    semconv.PREDICTION_INDEX: st.integers(0, 3),
    semconv.LABEL_ACTION: st.sampled_from(["upsert", "delete", "d"]),
    semconv.LABEL_WEIGHT: st.sampled_from([0.5, 2, 0]),
    semconv.LABEL_SOURCE: st.sampled_from(["bank"]),
    semconv.LABEL_ANNOTATOR_KIND: st.sampled_from(["HUMAN", "LLM"]),
    semconv.GEN_AI_RESPONSE_ID: st.sampled_from(["r-1", "a\nb"]),
    semconv.ENTITY_ID: st.sampled_from(["customer-1"]),
}
ALWAYS = {
    semconv.OPERATION_NAME,
    semconv.MODEL_NAME,
    semconv.PREDICTION_ID,
    semconv.LABEL_ID,
    semconv.STAGE_NAME,
}
IDS = st.tuples(
    st.sampled_from([bytes(15) + b"\x01", b"\xff" * 16, b"0123456789abcdef"]),
    st.sampled_from([bytes(7) + b"\x01", b"\xff" * 8, b"01234567"]),
)
ODD_IDS = st.tuples(
    st.sampled_from([b"", bytes(16), bytes(15), b"\x01" * 17]),
    st.sampled_from([b"", bytes(8), b"\x01" * 9, b"\x01" * 8]),
)
"""Of a trace and a span, of a wrong length or zero."""


def rarely(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly the one, now and then the other."""
    return st.integers(0, 11).flatmap(lambda number: odd if number == 11 else usual)


@st.composite
def attributes(draw: st.DrawFn, usual: dict[str, st.SearchStrategy[Any]]) -> list[KeyValue]:
    """Attributes of a record, mostly as the vocabulary has them."""
    optional = st.lists(st.sampled_from(sorted(usual)), max_size=6, unique=True)
    chosen = [name for name in usual if name in ALWAYS] + [
        name for name in draw(optional) if name not in ALWAYS
    ]
    pairs = {name: draw(rarely(usual[name], ODD)) for name in chosen}
    found = list(key_values({name: value for name, value in pairs.items() if value is not None}))
    oddities = draw(rarely(st.just(0), st.integers(1, 3)))
    for _ in range(oddities):
        name = draw(
            st.one_of(st.sampled_from(NAMES), SLICES.map(lambda key: semconv.SLICE_PREFIX + key))
        )
        found += key_values({name: draw(ODD)})
    if oddities and draw(st.booleans()):
        found.append(KeyValue(key=draw(st.sampled_from(NAMES))))
        nested = key_values({"in": draw(ODD)})
        found += [KeyValue(key="map", value=AnyValue(kvlist_value={"values": nested}))]
        found = draw(st.permutations(found))
    return found


@st.composite
def spans(draw: st.DrawFn, usual: dict[str, st.SearchStrategy[Any]]) -> Span:
    """A span of a prediction, a stage or a label, mostly an ordinary one."""
    trace, span = draw(rarely(IDS, ODD_IDS))
    start = draw(rarely(st.just(NOW_NS - SECOND_NS), st.sampled_from([0, NOW_NS * 2, 2**64 - 1])))
    links = draw(rarely(st.just([]), st.lists(st.one_of(IDS, ODD_IDS), min_size=1, max_size=2)))
    return Span(
        trace_id=trace,
        span_id=span,
        parent_span_id=draw(rarely(st.just(b"01234567"), st.sampled_from([b"", bytes(8), b"1"]))),
        name=draw(TEXTS),
        trace_state=draw(rarely(st.just(""), TEXTS)),
        kind=draw(rarely(st.sampled_from([1, 3]), st.sampled_from([0, 5, 6, -1]))),
        start_time_unix_nano=start,
        end_time_unix_nano=draw(rarely(st.just(NOW_NS), st.sampled_from([0, 2**64 - 1]))),
        attributes=draw(attributes(usual)),
        flags=draw(st.sampled_from([0, 257])),
        dropped_attributes_count=draw(rarely(st.just(0), st.sampled_from([3, 2**32 - 1]))),
        status=draw(
            rarely(st.none(), st.sampled_from([Status(code=1), Status(code=2, message="é")]))
        ),
        links=[Span.Link(trace_id=one, span_id=other) for one, other in links],
        events=draw(
            rarely(
                st.just([]),
                st.just(
                    [Span.Event(name="e", time_unix_nano=1, attributes=key_values({"k": [1]}))]
                ),
            )
        ),
    )


SCOPES = rarely(
    st.sampled_from([semconv.SCOPE_PREDICTIONS, "other"]),
    st.sampled_from([semconv.SCOPE_LABELS, semconv.SCOPE_RECORDS, semconv.SCOPE_PROCESSOR, ""]),
)
RESOURCES = rarely(
    st.sampled_from([{}, {semconv.SERVICE_NAME: "s"}, {semconv.DEPLOYMENT_ENVIRONMENT_NAME: "é"}]),
    st.sampled_from([{semconv.SERVICE_NAME: [1]}, {semconv.SERVICE_NAME: "x" * 1025}]),
)


@st.composite
def trace_requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    """A trace export request of a few resources, each with a few scopes."""
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource = Resource(attributes=key_values(draw(RESOURCES)))
        in_resource = ResourceSpans(resource=resource, schema_url=draw(st.sampled_from(["", "é"])))
        for _ in range(draw(st.integers(0, 2))):
            labels = draw(st.booleans())
            scope = semconv.SCOPE_LABELS if labels else draw(SCOPES)
            usual = spans(LABEL) if labels else spans(PREDICTION) | spans(STAGE)
            records = st.lists(usual, max_size=5)
            in_scope = ScopeSpans(scope=InstrumentationScope(name=scope), spans=draw(records))
            in_resource.scope_spans.append(in_scope)
        request.resource_spans.append(in_resource)
    return request


EVENTS = st.sampled_from([semconv.EVENT_LABEL, semconv.EVENT_LABEL, "", "other"])
EVALUATION: dict[str, st.SearchStrategy[Any]] = {
    semconv.MODEL_NAME: st.just("fraud"),
    semconv.PREDICTION_ID: st.just("p1"),
    semconv.GEN_AI_EVALUATION_NAME: st.just("helpful"),
    semconv.GEN_AI_EVALUATION_SCORE_VALUE: st.sampled_from([0.5, 1]),
    semconv.GEN_AI_EVALUATION_SCORE_LABEL: st.sampled_from(["yes", "no"]),
}


@st.composite
def log_requests(draw: st.DrawFn) -> ExportLogsServiceRequest:
    """A log export request, mostly of labels."""
    request = ExportLogsServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource = Resource(attributes=key_values(draw(RESOURCES)))
        in_scope = ScopeLogs(scope=InstrumentationScope(name=draw(SCOPES)))
        for _ in range(draw(st.integers(0, 5))):
            trace, span = draw(rarely(st.just((b"", b"")), st.one_of(IDS, ODD_IDS)))
            evaluation = draw(st.booleans())
            record = LogRecord(
                event_name=semconv.EVENT_EVALUATION_RESULT if evaluation else draw(EVENTS),
                attributes=draw(attributes(EVALUATION if evaluation else LABEL)),
                time_unix_nano=NOW_NS,
                severity_text=draw(rarely(st.just(""), TEXTS)),
                severity_number=draw(st.sampled_from([0, 9])),
                body=draw(rarely(st.none(), st.just(AnyValue(string_value="é")))),
                trace_id=trace,
                span_id=span,
            )
            if draw(rarely(st.just(False), st.just(True))):
                record.event_name = ""
                record.attributes.extend(key_values({semconv.EVENT_NAME: semconv.EVENT_LABEL}))
            in_scope.log_records.append(record)
        request.resource_logs.append(ResourceLogs(resource=resource, scope_logs=[in_scope]))
    return request
