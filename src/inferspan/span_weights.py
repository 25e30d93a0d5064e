"""What spans weigh: rows and bytes of a request, and what they hold in memory while they wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from inferspan import semconv
from inferspan.containment import Contained

WAITING_BYTES_MAX: Final = 256 * 1024 * 1024
"""What the spans of one queue may hold while nobody takes them."""
_SPAN_BYTES: Final = 3_000
"""Of the objects that make up a span, and of ten usual attributes."""
_NUMBER_BYTES: Final = 32
"""Of a number in a column, with its place there."""
_TEXT_BYTES: Final = 57
"""Of a text in a column, with its place there, besides its letters."""

_MEASURE: Final = Contained("measure spans")


def rows_of(span: ReadableSpan) -> int:
    """Predictions that a span stands for."""
    count = (span.attributes or {}).get(semconv.PREDICTION_COUNT, 1)
    return count if isinstance(count, int) else 1


def too_large(spans: Sequence[ReadableSpan]) -> bool:
    """Whether the request of these is larger than receivers take."""
    with _MEASURE:
        return encode_spans(spans).ByteSize() > semconv.REQUEST_BYTES_MAX
    return False


def held_by(span: ReadableSpan) -> int:
    """Bytes of memory that a span holds, estimated from above: shared texts count each time."""
    held = _SPAN_BYTES
    for value in (span.attributes or {}).values():
        if isinstance(value, (str, bytes)):
            held += len(value)
        elif isinstance(value, Sequence):
            texts = [each for each in value if isinstance(each, str)]
            held += _NUMBER_BYTES * (len(value) - len(texts))
            held += _TEXT_BYTES * len(texts) + sum(map(len, texts))
    return held


def beyond(spans: Sequence[ReadableSpan], bytes_max: int) -> int:
    """How many of the oldest, which come first, have no room; the latest always has."""
    held = 0
    with _MEASURE:
        for position in range(len(spans) - 1, -1, -1):
            held += held_by(spans[position])
            if held > bytes_max and position < len(spans) - 1:
                return position + 1
    return 0
