"""Spans of others, through the mappings of a configuration: what tests share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan_collector.batches import Decoded, PredictionBatch
from inferspan_collector.config import Config
from inferspan_collector.decode import Mapper, decode_traces
from inferspan_collector.testing import NOW_NS, AttributeValue, traces_request

DATA = Path(__file__).parent / "data"
RECEIVED_NS = NOW_NS + 3_600 * 1_000_000_000


def mapper(mappings: str | Sequence[Any]) -> Mapper:
    """A mapper by what would stand under `mappings:`."""
    given = yaml.safe_load(mappings) if isinstance(mappings, str) else mappings
    return Mapper(Config.model_validate({"mappings": given}).mappings)


def decoded(
    mappings: str | Sequence[Any],
    spans: Iterable[Span],
    *,
    scope: str = "their.library",
    resource: Mapping[str, AttributeValue] | None = None,
) -> Decoded:
    """What the collector reads of spans of one scope."""
    request = traces_request(spans, scope=scope, resource=resource)
    return decode_traces(
        request.SerializeToString(), json=False, received_ns=RECEIVED_NS, mapper=mapper(mappings)
    )


def recorded(name: str, mappings: Sequence[Any]) -> Decoded:
    """What the collector reads of a recorded example, `data/spans_<name>.json`."""
    body = (DATA / f"spans_{name}.json").read_bytes()
    return decode_traces(body, json=True, received_ns=RECEIVED_NS, mapper=mapper(mappings))


def span_names(name: str) -> list[str]:
    """The names of the spans of a recorded example."""
    document = json.loads((DATA / f"spans_{name}.json").read_text())
    return [
        span["name"]
        for resource in document["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def rows(batch: PredictionBatch) -> list[dict[str, Any]]:
    """The predictions as dicts of what is there; slices under their keys."""
    texts = ("model", "version", "variant", "environment", "service", "operation", "task")
    texts += ("positive_class", "error_type", "predicted", "prediction_id")
    columns = {name: getattr(batch, name).objects().tolist() for name in texts}
    columns |= {key: column.objects().tolist() for key, column in batch.slices.items()}
    for name in ("score", "value", "adjusted_count", "index", "kind"):
        columns[name] = getattr(batch, name).tolist()
    return [
        {
            name: column[row]
            for name, column in columns.items()
            if column[row] is not None and column[row] == column[row]
        }
        for row in range(len(batch))
    ]
