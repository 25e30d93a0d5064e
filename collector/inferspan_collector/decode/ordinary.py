"""The compiled way through a request: ordinary records become rows, the rest is left to `requests`.

A request is taken apart by its frames alone. Its resources and scopes, without the records, are
read by the library; so is every record that is not ordinary, in its place among the others.
Whatever is in doubt, the request as a whole included, is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Bool, Int64, LabelBatch, PredictionBatch
from inferspan_collector.decode import wire
from inferspan_collector.decode.attributes import Attributes, RefusedRecord
from inferspan_collector.decode.compiled import scan
from inferspan_collector.decode.mapping import Mapper
from inferspan_collector.decode.ordinary_rows import Part, label_rows, prediction_rows
from inferspan_collector.decode.predictions import Origin, read_origin
from inferspan_collector.decode.row_limit import ROWS_MAX
from inferspan_collector.decode.scanned import Outline, WantedKeys, limits, scan_records

_RECORDS_AT_ONCE: Final = 8192
"""The tables of rows never hold more: what a request makes is told before the next are made."""
_Batch = TypeVar("_Batch", PredictionBatch, LabelBatch)
_FATES: Final = {
    semconv.SCOPE_PREDICTIONS: scan.OURS,
    semconv.SCOPE_LABELS: scan.LABELS,
    semconv.SCOPE_RECORDS: scan.LEFT,
    semconv.SCOPE_PROCESSOR: scan.IGNORED,
}


@dataclass(frozen=True, slots=True, eq=False)
class Ordinary:
    """What was read of a request by the compiled way, in the order of its records."""

    predictions: PredictionBatch
    prediction_records: Int64
    """The number of the record of each row, rising."""
    predictions_skewed: Bool
    """Rows whose time was ahead of us and has been clamped."""
    labels: LabelBatch
    label_records: Int64
    labels_skewed: Bool
    ignored: int
    left: list[int]
    """The numbers of the records that were not read."""
    rest: bytes
    """The request without those that were: empty where all were."""


def read_traces(
    body: bytes, received_ns: int, reserve: Callable[[int], None], mapper: Mapper | None
) -> Ordinary | None:
    """Read the ordinary spans of a trace export request.

    Args:
        body: the request, decompressed, as protobuf.
        received_ns: the time of receipt, Unix ns.
        reserve: told how many predictions were found, before more are looked for; what it raises
            passes through.
        mapper: whose spans of others are left.

    Returns:
        None where the whole request is left.
    """
    found = Outline.of(body)
    if found is None:
        return None
    try:
        request = wire.parse_traces(found.skeleton(), json=False)
        origins = [
            read_origin(Attributes(each.resource.attributes)) for each in request.resource_spans
        ]
    except (wire.MalformedRequest, RefusedRecord):
        return None
    scopes = [
        in_scope.scope.name
        for in_resource in request.resource_spans
        for in_scope in in_resource.scope_spans
    ]
    fates = [_fate(scope, mapper) for scope in scopes]
    wanted = None
    if mapper is not None and scan.MAPPED in fates:
        wanted = WantedKeys.of([mapper.keys(scope) for scope in scopes])
    return _read(body, found, fates, origins, received_ns, reserve, wanted)


def _fate(scope: str, mapper: Mapper | None) -> int:
    fate = _FATES.get(scope)
    if fate is not None:
        return fate
    if mapper is None or mapper.keys(scope) == frozenset():
        return scan.FOREIGN
    return scan.MAPPED


def read_logs(body: bytes, received_ns: int, reserve: Callable[[int], None]) -> Ordinary | None:
    """Read the ordinary labels of a log export request.

    Arguments and result as `read_traces`; `reserve` is told the number of all records.
    """
    found = Outline.of(body)
    if found is None:
        return None
    try:
        request = wire.parse_logs(found.skeleton(), json=False)
        origins = [
            read_origin(Attributes(each.resource.attributes)) for each in request.resource_logs
        ]
    except (wire.MalformedRequest, RefusedRecord):
        return None
    fates = [
        scan.LEFT if in_scope.scope.name == semconv.SCOPE_PROCESSOR else scan.EVENTS
        for in_resource in request.resource_logs
        for in_scope in in_resource.scope_logs
    ]
    reserve(len(found))
    return _read(body, found, fates, origins, received_ns, lambda rows: None)


def _read(
    body: bytes,
    found: Outline,
    fates: Sequence[int],
    origins: Sequence[Origin],
    received_ns: int,
    reserve: Callable[[int], None],
    wanted: WantedKeys | None = None,
) -> Ordinary:
    scope_table = np.array([fates, found.resource_of], np.int64)
    packed = limits(received_ns)
    taken = np.zeros(len(found), np.uint8)
    predictions: list[Part[PredictionBatch]] = []
    labels: list[Part[LabelBatch]] = []
    ignored = reserved = 0
    for first in range(0, len(found), _RECORDS_AT_ONCE):
        some = range(first, min(first + _RECORDS_AT_ONCE, len(found)))
        scanned = scan_records(body, found, scope_table, packed, some, taken)
        ignored += scanned.ignored
        if len(scanned.predictions):
            part = prediction_rows(scanned, origins, received_ns)
            taken[part.refused] = 0
            predictions.append(part)
            # A request may hold no more, whatever it says.
            rows = min(len(part.batch), ROWS_MAX - reserved)
            reserve(rows)
            reserved += rows
        if len(scanned.labels):
            labels.append(label_rows(scanned, origins, received_ns))
            taken[labels[-1].refused] = 0
    if wanted is not None:
        ignored += wanted.pass_by(found, taken)
    left = np.flatnonzero(taken == 0).tolist()
    return Ordinary(
        predictions=_stacked(PredictionBatch, predictions),
        prediction_records=_joined(part.records for part in predictions),
        predictions_skewed=_joined(part.skewed for part in predictions) != 0,
        labels=_stacked(LabelBatch, labels),
        label_records=_joined(part.records for part in labels),
        labels_skewed=_joined(part.skewed for part in labels) != 0,
        ignored=ignored,
        left=left,
        rest=found.without(taken) if left else b"",
    )


def _stacked(kind: type[_Batch], parts: Sequence[Part[_Batch]]) -> _Batch:
    if len(parts) == 1:
        return parts[0].batch
    if not parts:
        return kind.empty()
    return kind.concat([part.batch for part in parts])


def _joined(columns: Iterable[Int64]) -> Int64:
    whole = list(columns)
    return whole[0] if len(whole) == 1 else np.concatenate([np.empty(0, np.int64), *whole])
