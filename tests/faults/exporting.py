"""Real OpenTelemetry exporters behind a real batch processor; they retry by themselves."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ledger import Ledger
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from traffic import MODEL, prediction_attributes, predictions
from truth import Prediction

from inferspan import semconv

RETRY_SECONDS = 300
"""How long an exporter may try to deliver a batch, by its own settings."""
DELIVERY_SECONDS = 1_800.0
"""How long one batch is tried in all, export after export: on a machine that is busy with other
things a collector may die several times before an exporter comes through."""
PAUSE_SECONDS = 0.1
"""Between two exports of a batch."""


class Exporting:
    """An application that makes predictions and exports them by OpenTelemetry alone."""

    def __init__(self, exporter: SpanExporter, ledger: Ledger) -> None:
        self._noting = _Noting(exporter, self._note)
        self._ledger = ledger
        self._made: dict[int, Prediction] = {}
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._noting,
                max_queue_size=100_000,
                schedule_delay_millis=100,
                max_export_batch_size=64,
            )
        )
        self._tracer = self._provider.get_tracer(semconv.SCOPE_PREDICTIONS)

    @classmethod
    def over_http(cls, otlp_http: str, ledger: Ledger) -> Exporting:
        """By OTLP/HTTP, to `http://HOST:PORT`."""
        return cls(HttpExporter(f"{otlp_http}/v1/traces", timeout=RETRY_SECONDS), ledger)

    @classmethod
    def over_grpc(cls, otlp_grpc: str, ledger: Ledger) -> Exporting:
        """By OTLP/gRPC, to `HOST:PORT`."""
        return cls(GrpcExporter(otlp_grpc, insecure=True, timeout=RETRY_SECONDS), ledger)

    def predict(self, rng: random.Random, version: str, count: int, now_ns: int) -> None:
        """Make predictions; they are exported in the background."""
        for made in predictions(rng, version, "exported", count, now_ns):
            span = self._tracer.start_span(
                f"predict {MODEL}",
                attributes=prediction_attributes(made, MODEL),
                start_time=made.time_ns,
            )
            context = span.get_span_context()
            ids = (context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"))
            self._made[context.span_id] = replace(made, ids=ids)
            span.end(made.time_ns + 5_000_000)

    def deliver(self) -> None:
        """Wait until everything is exported; nothing may be lost."""
        assert self._provider.force_flush(RETRY_SECONDS * 1000)
        assert not self._made, f"{len(self._made)} predictions were not delivered"

    def close(self) -> None:
        """End the threads; what is not exported yet is lost."""
        self._noting.shutdown()
        self._provider.shutdown()

    def _note(self, spans: Sequence[ReadableSpan]) -> None:
        made = [self._made.pop(span.context.span_id) for span in spans]
        self._ledger.acknowledge(made)


class _Noting(SpanExporter):
    """Exports as the exporter does, and again where that gives up, after six tries in a minute.

    What exports for others holds on until the batch is delivered, or it is shut down.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        note: Callable[[Sequence[ReadableSpan]], None],
    ) -> None:
        self._exporter = exporter
        self._note = note
        self._ended = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        deadline = time.monotonic() + DELIVERY_SECONDS
        while self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            if self._ended.wait(PAUSE_SECONDS) or time.monotonic() > deadline:
                return SpanExportResult.FAILURE
        self._note(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._ended.set()
        self._exporter.shutdown()
