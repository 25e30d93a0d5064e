"""What a collector with these mappings would make of spans: each alone, with the reason why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from inferspan_collector.batches import LabelBatch, PredictionBatch
from inferspan_collector.config.mappings import KINDS
from inferspan_collector.decode.attributes import Attributes
from inferspan_collector.decode.mapping.rules import Mapper, Rule
from inferspan_collector.decode.mapping.views import SpanView
from inferspan_collector.decode.requests import decode_traces

SHOWN_AS = {"predicted": "class", "actual": "class"}
NOT_SHOWN = (
    *("received", "start_time", "trace", "span", "span_row", "kind", "slices"),
    *("link_trace", "link_span"),
)
USUAL = {"adjusted_count": 1.0, "weight": 1.0, "index": 0, "revision": 0}
"""Values that need no word. Of a prediction its kind stands with the span."""


@dataclass(frozen=True, slots=True)
class SpanReport:
    """One span, and what would become of it."""

    name: str
    scope: str
    kind: str
    predicted_by: str | None
    """The mapping that took it for predictions; None where it speaks our vocabulary itself."""
    labeled_by: str | None
    predictions: list[dict[str, Any]]
    labels: list[dict[str, Any]]
    refused: list[str]
    why_not: dict[str, str]
    """Mapping → the first condition that does not hold; empty where the span was taken."""

    @property
    def ignored(self) -> bool:
        """Whether a collector would pass it by."""
        return not (self.predictions or self.labels or self.refused)


def dry_run(
    request: ExportTraceServiceRequest, mapper: Mapper, received_ns: int
) -> Iterator[SpanReport]:
    """Report on each span of a request, in order.

    Args:
        request: as it would arrive.
        mapper: the mappings.
        received_ns: when it would arrive, Unix ns.
    """
    for in_resource in request.resource_spans:
        for in_scope in in_resource.scope_spans:
            for span in in_scope.spans:
                yield _report(in_resource, in_scope, span, mapper, received_ns)


def _report(
    in_resource: ResourceSpans,
    in_scope: ScopeSpans,
    span: Span,
    mapper: Mapper,
    received_ns: int,
) -> SpanReport:
    alone = ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=in_resource.resource,
                scope_spans=[ScopeSpans(scope=in_scope.scope, spans=[span])],
            )
        ]
    )
    found = decode_traces(
        alone.SerializeToString(), json=False, received_ns=received_ns, mapper=mapper
    )
    report = SpanReport(
        name=span.name,
        scope=in_scope.scope.name,
        kind=KINDS[span.kind] if 0 <= span.kind < len(KINDS) else KINDS[0],
        predicted_by=_taking(mapper.predictions, found.mapped),
        labeled_by=_taking(mapper.labeling, found.mapped),
        predictions=_facts(found.predictions),
        labels=_facts(found.labels),
        refused=[f"{refusal.reason}: {refusal.message}" for refusal in found.refused],
        why_not={},
    )
    if report.ignored:
        view = SpanView(
            span,
            Attributes(span.attributes),
            in_scope.scope.name,
            Attributes(in_resource.resource.attributes),
        )
        report.why_not.update(_why_not(mapper, view))
    return report


def _taking(rules: Iterable[Rule], mapped: Mapping[str, int]) -> str | None:
    return next((rule.name for rule in rules if rule.name in mapped), None)


def _why_not(mapper: Mapper, view: SpanView) -> Iterator[tuple[str, str]]:
    for rule in mapper.rules:
        unmet = rule.matcher.fault(view)
        yield rule.name, "carries nothing" if unmet is None else unmet.fault(view)


def _facts(batch: PredictionBatch | LabelBatch) -> list[dict[str, Any]]:
    """The rows of a batch as dicts of what is there and says something."""
    is_label = isinstance(batch, LabelBatch)
    rows: list[dict[str, Any]] = [{} for _ in range(len(batch))]
    for column in fields(batch):
        if column.name in NOT_SHOWN and not (column.name == "kind" and is_label):
            continue
        entries = getattr(batch, column.name)
        values = (entries.objects() if hasattr(entries, "objects") else entries).tolist()
        for row, value in zip(rows, values, strict=True):
            if not _says_nothing(column.name, value):
                row[SHOWN_AS.get(column.name, column.name)] = value
    slices = getattr(batch, "slices", {})
    for key, texts in slices.items():
        for row, text in zip(rows, texts.objects().tolist(), strict=True):
            if text is not None:
                row[f"slice {key}"] = text
    return rows


def _says_nothing(name: str, value: object) -> bool:
    if value is None or value is False or value == "":
        return True
    if isinstance(value, float) and math.isnan(value):
        return True
    return name in USUAL and value == USUAL[name]
