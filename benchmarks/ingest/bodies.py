"""OTLP requests of predictions and their labels, made at memory speed.

One span of each kind is written by the protobuf library; all others are copies of it with ids,
times, class and score overwritten in place, columns at a time. Everything about a prediction
follows from its number, so that any process can make the label of any prediction.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from inferspan import semconv

PER_REQUEST: Final = 512
CLASSES: Final = (b"fraud", b"legit")
NUMBERS: Final = 20
TEXTS: Final = 5
CATEGORIES: Final = (b"v1", b"v2", b"v3", b"v4", b"v5", b"v6", b"v7", b"v8", b"v9")
COUNTRIES: Final = (b"DE", b"FR", b"IT", b"ES", b"PL")
DURATION_NS: Final = 3_000_000
LABEL_DELAY_NS: Final = 1_000_000

_TRACE: Final = bytes(range(0xA0, 0xB0))
_SPAN: Final = bytes(range(0xB0, 0xB8))
_ID: Final = "P" * 32
_LABEL_ID: Final = "L" * 32
_CLASS: Final = "CLASS"
_COUNTRY: Final = "%%"
_SCORE: Final = 0.123456789
_AMOUNT: Final = 9.87654321e-5
_START: Final = 0x1111_2222_3333_4444
_END: Final = 0x1555_6666_7777_8888
_HEX: Final = np.frombuffer(bytes(range(256)).hex().encode(), np.uint8).reshape(256, 2)

UInt8 = NDArray[np.uint8]
UInt64 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Times:
    """When predictions happened: number k at `start_ns + k * step_ns`."""

    start_ns: int
    step_ns: int

    def of(self, numbers: UInt64) -> UInt64:
        """Unix ns."""
        return np.uint64(self.start_ns) + numbers * np.uint64(self.step_ns)


class Template:
    """Copies of one span, with fields of fixed width overwritten.

    Args:
        scope: name of the instrumentation scope.
        span: the span, its variable fields filled with marks.
        marks: name of a field → the bytes that stand in its place, found exactly once.
    """

    def __init__(self, scope: str, span: Span, marks: dict[str, bytes]) -> None:
        content = span.SerializeToString()
        framed = ScopeSpans(spans=[span]).SerializeToString()
        for name, mark in marks.items():
            assert framed.count(mark) == 1, f"{name} stands {framed.count(mark)} times in a span"
        self.span_bytes = len(content)
        self._row = np.frombuffer(framed, np.uint8)
        begins = {name: framed.index(mark) for name, mark in marks.items()}
        self._at = {name: slice(at, at + len(marks[name])) for name, at in begins.items()}
        self._scope = scope

    def request(self, fields: dict[str, UInt8]) -> bytes:
        """One export request; each field is uint8[n, width]."""
        rows = len(next(iter(fields.values())))
        spans = np.repeat(self._row[np.newaxis], rows, axis=0)
        for name, content in fields.items():
            spans[:, self._at[name]] = content
        scope = ScopeSpans(scope=InstrumentationScope(name=self._scope)).SerializeToString()
        scope += spans.tobytes()
        resource = ResourceSpans(resource=_RESOURCE).SerializeToString()
        schema = ResourceSpans(schema_url=semconv.SCHEMA_URL).SerializeToString()
        return _field(1, resource + _field(2, scope) + schema)


def prediction_template(features: bool = False) -> Template:
    """A prediction as `@inferspan.predict` sends it: 15 attributes, about 660 bytes.

    Args:
        features: 20 numbers and 5 categories as declared features, instead of one number.
    """
    span = _span("predict fraud")
    names = [f"feature_{i}" for i in range(NUMBERS)] if features else ["amount"]
    amounts = struct.pack(f"<{len(names)}d", *(_AMOUNT + i for i in range(len(names))))
    span.attributes.extend(
        [
            _text(semconv.OUTPUT_CLASS, _CLASS),
            _double(semconv.OUTPUT_SCORE, _SCORE),
            _text(semconv.SLICE_PREFIX + "country", _COUNTRY),
            _text(semconv.FEATURE_NAMES, _json(names)),
            KeyValue(key=semconv.FEATURE_DATA, value=AnyValue(bytes_value=amounts)),
            _text(semconv.INPUT_VALUE, '{"amount":1.5}'),
            _text(semconv.INPUT_MIME_TYPE, semconv.MIME_JSON),
            _text(semconv.OPENINFERENCE_SPAN_KIND, "CHAIN"),
            _text(semconv.OPERATION_NAME, "predict"),
            _text(semconv.MODEL_NAME, "fraud"),
            _text(semconv.MODEL_VERSION, "7"),
            _text(semconv.TASK_TYPE, semconv.BINARY),
            _text(semconv.OUTPUT_POSITIVE_CLASS, CLASSES[0].decode()),
            _text(semconv.CAPTURE_POLICY, "shapes"),
            _text(semconv.PREDICTION_ID, _ID),
        ]
    )
    marks = {
        "trace": _TRACE,
        "span": _SPAN,
        "start": struct.pack("<Q", _START),
        "end": struct.pack("<Q", _END),
        "class": _CLASS.encode(),
        "score": struct.pack("<d", _SCORE),
        "country": _COUNTRY.encode(),
        "amounts": amounts,
        "id": _ID.encode(),
    }
    if features:
        span.attributes.extend(
            [
                _text(
                    semconv.FEATURE_CATEGORY_NAMES, _json([f"category_{i}" for i in range(TEXTS)])
                ),
                KeyValue(
                    key=semconv.FEATURE_CATEGORY_VALUES,
                    value=AnyValue(
                        array_value=ArrayValue(
                            values=[AnyValue(string_value=_category(i)) for i in range(TEXTS)]
                        )
                    ),
                ),
            ]
        )
        marks |= {f"category_{i}": _category(i).encode() for i in range(TEXTS)}
    return Template(semconv.SCOPE_PREDICTIONS, span, marks)


def label_template() -> Template:
    """A label as `inferspan.label` sends it: nine attributes, about 460 bytes."""
    span = _span("label fraud")
    span.attributes.extend(
        [
            _text(semconv.LABEL_ID, _LABEL_ID),
            _text(semconv.MODEL_NAME, "fraud"),
            _text(semconv.MODEL_VERSION, "7"),
            _text(semconv.PREDICTION_ID, _ID),
            _text(semconv.TARGET_NAME, semconv.DEFAULT_TARGET),
            _text(semconv.TARGET_KIND, semconv.TARGET_KINDS[0]),
            _text(semconv.LABEL_CLASS, _CLASS),
            _text(semconv.LABEL_SOURCE, "chargebacks"),
            _text(semconv.LABEL_ANNOTATOR_KIND, semconv.ANNOTATOR_KINDS[0]),
        ]
    )
    marks = {
        "trace": _TRACE,
        "span": _SPAN,
        "start": struct.pack("<Q", _START),
        "end": struct.pack("<Q", _END),
        "class": _CLASS.encode(),
        "id": _ID.encode(),
        "label_id": _LABEL_ID.encode(),
    }
    return Template(semconv.SCOPE_LABELS, span, marks)


class Bodies:
    """Makes requests of predictions and labels by their numbers.

    Args:
        times: when the predictions happened.
        features: whether they declare 25 features.
    """

    def __init__(self, times: Times, features: bool = False) -> None:
        self._times = times
        self._features = features
        self._prediction = prediction_template(features)
        self._label = label_template()

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of a prediction's span and of a label's."""
        return self._prediction.span_bytes, self._label.span_bytes

    def predictions(self, numbers: UInt64) -> bytes:
        """A request of these predictions."""
        start = self._times.of(numbers)
        noise = _mixed(numbers, 1)
        return self._prediction.request(
            self._feature_fields(numbers)
            | {
                "trace": _ids(numbers, 2),
                "span": _bytes_of(_mixed(numbers, 4)),
                "start": _bytes_of(start),
                "end": _bytes_of(start + np.uint64(DURATION_NS) + noise % np.uint64(1_000_000)),
                "class": _choice(CLASSES, noise >> np.uint64(20)),
                "score": _bytes_of((noise % np.uint64(1_000)).astype(np.float64) / 1e3),
                "country": _choice(COUNTRIES, noise >> np.uint64(30)),
                "id": _hex(self._prediction_ids(numbers)),
            }
        )

    def labels(self, numbers: UInt64) -> bytes:
        """A request with one label of each of these predictions; four of five are right."""
        noise = _mixed(numbers, 1)
        said = noise >> np.uint64(20)
        truth = said + (_mixed(numbers, 5) % np.uint64(5) == 0)
        at = self._times.of(numbers) + np.uint64(LABEL_DELAY_NS)
        return self._label.request(
            {
                "trace": _ids(numbers, 6),
                "span": _bytes_of(_mixed(numbers, 8)),
                "start": _bytes_of(at),
                "end": _bytes_of(at),
                "class": _choice(CLASSES, truth),
                "id": _hex(self._prediction_ids(numbers)),
                "label_id": _hex(_uuid7(_ids(numbers, 9), at)),
            }
        )

    def _feature_fields(self, numbers: UInt64) -> dict[str, UInt8]:
        salts = [1, *range(20, 19 + NUMBERS)] if self._features else [1]
        columns = [
            _bytes_of((_mixed(numbers, salt) % np.uint64(99_991)).astype(np.float64) / 100)
            for salt in salts
        ]
        fields = {"amounts": np.concatenate(columns, axis=1)}
        for i in range(TEXTS) if self._features else ():
            fields[f"category_{i}"] = _choice(CATEGORIES, _mixed(numbers, 50 + i))
        return fields

    def _prediction_ids(self, numbers: UInt64) -> UInt8:
        return _uuid7(_ids(numbers, 11), self._times.of(numbers))


def gzipped(body: bytes) -> bytes:
    """As exporters compress: level 6, gzip's frame."""
    compress = zlib.compressobj(6, wbits=31)
    return compress.compress(body) + compress.flush()


def check(bodies: Bodies) -> None:
    """See that what is made is OTLP, and what it is meant to be."""
    numbers = np.arange(PER_REQUEST, dtype=np.uint64)
    for body in (bodies.predictions(numbers), bodies.labels(numbers)):
        parsed = ExportTraceServiceRequest.FromString(body)
        spans = parsed.resource_spans[0].scope_spans[0].spans
        assert len(spans) == PER_REQUEST
        assert len({span.span_id for span in spans}) == PER_REQUEST
        assert parsed.SerializeToString() == body


_RESOURCE: Final = Resource(
    attributes=[
        KeyValue(key=semconv.SERVICE_NAME, value=AnyValue(string_value="fraud-api")),
        KeyValue(
            key=semconv.DEPLOYMENT_ENVIRONMENT_NAME, value=AnyValue(string_value="production")
        ),
        KeyValue(key="telemetry.sdk.language", value=AnyValue(string_value="python")),
    ]
)


def _span(name: str) -> Span:
    return Span(
        trace_id=_TRACE,
        span_id=_SPAN,
        name=name,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=_START,
        end_time_unix_nano=_END,
        status=Status(),
        flags=0x100,
    )


def _json(names: Sequence[str]) -> str:
    return json.dumps(list(names), separators=(",", ":"))


def _category(i: int) -> str:
    return f"#{i}"


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _double(key: str, value: float) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(double_value=value))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    head = bytearray([number << 3 | 2])
    size = len(content)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + content


def _mixed(numbers: UInt64, salt: int) -> UInt64:
    """SplitMix64: noise that follows from number and salt."""
    with np.errstate(over="ignore"):
        z = numbers * np.uint64(16) + np.uint64(salt)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _bytes_of(numbers: NDArray[np.uint64] | NDArray[np.float64]) -> UInt8:
    """Little-endian, uint8[n, 8]."""
    return numbers.view(np.uint8).reshape(-1, 8)


def _ids(numbers: UInt64, salt: int) -> UInt8:
    """Sixteen bytes of noise each."""
    return np.hstack([_bytes_of(_mixed(numbers, salt)), _bytes_of(_mixed(numbers, salt + 1))])


def _uuid7(noise: UInt8, unix_ns: UInt64) -> UInt8:
    """UUIDs of version 7: milliseconds, then noise."""
    milliseconds = (unix_ns // np.uint64(1_000_000)).astype(">u8").view(np.uint8).reshape(-1, 8)
    noise[:, :6] = milliseconds[:, 2:]
    noise[:, 6] = noise[:, 6] & 0x0F | 0x70
    noise[:, 8] = noise[:, 8] & 0x3F | 0x80
    return noise


def _hex(ids: UInt8) -> UInt8:
    return _HEX[ids].reshape(len(ids), -1)


def _choice(texts: Sequence[bytes], which: UInt64) -> UInt8:
    table = np.frombuffer(b"".join(texts), np.uint8).reshape(len(texts), -1)
    return table[(which % np.uint64(len(texts))).astype(np.intp)]
