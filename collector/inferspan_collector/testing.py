"""Doubles and builders for tests of the collector and of whatever sends to it.

`ManualClock` and `RecordingSink` stand in for the pipeline; the builders make OTLP requests as
any exporter would. Ids follow from what is asked for, so that tests repeat themselves.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from inferspan import semconv
from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch
from inferspan_collector.store.cells import Committed
from inferspan_collector.submission import Overloaded

NOW_NS: Final = 1_795_000_000_000_000_000
"""A moment in November 2026: where `ManualClock` starts and what builders date spans by."""

AttributeValue = str | bool | int | float | bytes | Sequence[str | bool | int | float | None]
OtlpRequest = ExportTraceServiceRequest | ExportLogsServiceRequest


class ManualClock:
    """A clock that moves only when told. Thread-safe."""

    def __init__(self, now_ns: int = NOW_NS) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()

    def now_ns(self) -> int:
        """The time, Unix ns."""
        with self._lock:
            return self._now_ns

    def advance(self, seconds: float) -> None:
        """Move on; backwards too, as real clocks do."""
        with self._lock:
            self._now_ns += round(seconds * 1e9)


class RecordingSink:
    """A `submission.Sink` that keeps what it is given and answers as it is told. Thread-safe.

    Attributes:
        refusing: raised by `submit`, where set.
        failing: what the next futures end with, where set.
        holding: leave futures open until `release`.
        label_result: what became of every label.
    """

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.refusing: Exception | None = None
        self.failing: Exception | None = None
        self.holding = False
        self.label_result = "waiting"
        self._clock = clock or ManualClock()
        self._lock = threading.Lock()
        self._submitted: list[tuple[Decoded, str]] = []
        self._held: list[tuple[Decoded, Future[Committed]]] = []

    def submit(self, decoded: Decoded, transport: str) -> Future[Committed]:
        """As `Sink.submit`; a request without any row is not kept."""
        future: Future[Committed] = Future()
        if not len(decoded.predictions) + len(decoded.labels) + len(decoded.stages):
            future.set_result(Committed(0, ()))
            return future
        if self.refusing is not None:
            raise self.refusing
        with self._lock:
            self._submitted.append((decoded, transport))
            if self.holding:
                self._held.append((decoded, future))
                return future
        self._resolve(decoded, future)
        return future

    def keep(self, decoded: Decoded, transport: str, waited: float = 0.0) -> Future[Any]:
        """As `Sink.keep`."""
        return self.submit(decoded, transport)

    def rehearse(self, labels: LabelBatch) -> Future[tuple[str, ...]]:
        """As `Sink.rehearse`; nothing is kept."""
        future: Future[tuple[str, ...]] = Future()
        future.set_result((self.label_result,) * len(labels))
        return future

    def check_room(self, size: int, transport: str) -> None:
        """As `Sink.check_room`; raises what `submit` would, if that is `Overloaded`."""
        if isinstance(self.refusing, Overloaded):
            raise self.refusing

    def now_ns(self) -> int:
        """The clock's time."""
        return self._clock.now_ns()

    def release(self) -> None:
        """Answer everything held, and hold nothing more."""
        with self._lock:
            held, self._held = self._held, []
            self.holding = False
        for decoded, future in held:
            if not future.cancelled():
                self._resolve(decoded, future)

    @property
    def submitted(self) -> list[tuple[Decoded, str]]:
        """(request, transport), in order of arrival."""
        with self._lock:
            return list(self._submitted)

    @property
    def held(self) -> list[Future[Committed]]:
        """Futures not answered yet."""
        with self._lock:
            return [future for _, future in self._held]

    @property
    def predictions(self) -> PredictionBatch:
        """All predictions submitted."""
        return PredictionBatch.concat([decoded.predictions for decoded, _ in self.submitted])

    @property
    def labels(self) -> LabelBatch:
        """All labels submitted."""
        return LabelBatch.concat([decoded.labels for decoded, _ in self.submitted])

    def _resolve(self, decoded: Decoded, future: Future[Committed]) -> None:
        if self.failing is not None:
            future.set_exception(self.failing)
            return
        results = (self.label_result,) * len(decoded.labels)
        future.set_result(Committed(predictions=len(decoded.predictions), labels=results))


def any_value(value: AttributeValue | None) -> AnyValue:
    """An attribute's value; None is one that is not set, as it stands in arrays."""
    if value is None:
        return AnyValue()
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    return AnyValue(array_value=ArrayValue(values=[any_value(entry) for entry in value]))


def key_values(attributes: Mapping[str, AttributeValue]) -> list[KeyValue]:
    """Attributes in OTLP's form."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span_ids(text: str) -> tuple[bytes, bytes]:
    """A trace and a span id that follow from a text."""
    digest = hashlib.blake2b(text.encode(), digest_size=24).digest()
    return digest[:16], digest[16:]


def otlp_span(
    name: str,
    attributes: Mapping[str, AttributeValue],
    *,
    ids: tuple[bytes, bytes] | None = None,
    parent: bytes = b"",
    start_ns: int = NOW_NS - 1_000_000_000,
    duration_ns: int = 5_000_000,
    kind: int = 1,
    failed: bool = False,
    links: Sequence[tuple[bytes, bytes]] = (),
) -> Span:
    """A span; its ids follow from its name unless given. `links` are (trace id, span id)."""
    trace_id, span_id = ids or span_ids(name)
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        kind=Span.SpanKind.ValueType(kind),
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + duration_ns,
        attributes=key_values(attributes),
        status=Status(code=Status.STATUS_CODE_ERROR) if failed else None,
        links=[Span.Link(trace_id=trace, span_id=span) for trace, span in links],
    )


def prediction_span(
    prediction_id: str,
    attributes: Mapping[str, AttributeValue] | None = None,
    *,
    model: str = "fraud",
    **span: Any,
) -> Span:
    """A prediction's span; `attributes` are added, `span` goes to `otlp_span`."""
    own: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: "predict",
        semconv.MODEL_NAME: model,
        semconv.PREDICTION_ID: prediction_id,
    }
    span.setdefault("ids", span_ids(prediction_id))
    return otlp_span(f"predict {model}", own | dict(attributes or {}), **span)


def label_span(
    prediction_id: str,
    attributes: Mapping[str, AttributeValue],
    *,
    model: str = "fraud",
    **span: Any,
) -> Span:
    """A label's span, its label id following from the prediction's."""
    own: dict[str, AttributeValue] = {
        semconv.LABEL_ID: f"label-of-{prediction_id}",
        semconv.MODEL_NAME: model,
        semconv.PREDICTION_ID: prediction_id,
    }
    span.setdefault("ids", span_ids(f"label {prediction_id}"))
    return otlp_span(f"label {model}", own | dict(attributes), **span)


def traces_request(
    spans: Iterable[Span],
    *,
    scope: str = semconv.SCOPE_PREDICTIONS,
    resource: Mapping[str, AttributeValue] | None = None,
) -> ExportTraceServiceRequest:
    """A trace export of one resource and one scope. Several merge by `MergeFrom`."""
    in_scope = ScopeSpans(scope=InstrumentationScope(name=scope), spans=spans)
    sender = Resource(attributes=key_values(resource or {}))
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=sender, scope_spans=[in_scope])]
    )


def log_record(
    event_name: str,
    attributes: Mapping[str, AttributeValue],
    *,
    context: tuple[bytes, bytes] = (b"", b""),
    time_ns: int = NOW_NS,
) -> LogRecord:
    """A log event; `context` is the (trace id, span id) it stands in."""
    return LogRecord(
        event_name=event_name,
        attributes=key_values(attributes),
        time_unix_nano=time_ns,
        trace_id=context[0],
        span_id=context[1],
    )


def logs_request(
    records: Iterable[LogRecord],
    *,
    scope: str = semconv.SCOPE_LABELS,
    resource: Mapping[str, AttributeValue] | None = None,
) -> ExportLogsServiceRequest:
    """A log export of one resource and one scope."""
    in_scope = ScopeLogs(scope=InstrumentationScope(name=scope), log_records=records)
    sender = Resource(attributes=key_values(resource or {}))
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=sender, scope_logs=[in_scope])]
    )


def otlp_json(request: OtlpRequest) -> bytes:
    """A request as OTLP/JSON: protobuf's JSON, but ids in hexadecimal and enums as integers."""
    document = json_format.MessageToDict(request, use_integers_for_enums=True)
    _ids_to_hex(document)
    return json.dumps(document).encode()


def _ids_to_hex(node: object) -> None:
    if isinstance(node, list):
        for entry in node:
            _ids_to_hex(entry)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("traceId", "spanId", "parentSpanId"):
                node[key] = base64.b64decode(value).hex()
            else:
                _ids_to_hex(value)
