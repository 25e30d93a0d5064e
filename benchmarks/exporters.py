"""Where spans end in a benchmark: nowhere, or in bytes that are thrown away."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler


class Dropping(SpanExporter):
    """Takes spans and forgets them, but for how many they were."""

    def __init__(self) -> None:
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


class Encoding(Dropping):
    """Makes of spans the OTLP request that would be sent, and forgets it."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return super().export(spans)


def asleep(sampler: Sampler | None = None, ids: IdGenerator | None = None) -> TracerProvider:
    """A provider whose exporting thread sleeps for as long as something is measured."""
    provider = TracerProvider(sampler, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(Dropping(), 1 << 20, 3_600_000, max_export_batch_size=1 << 20)
    )
    return provider
