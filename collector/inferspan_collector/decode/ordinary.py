"""The compiled way through a request: ordinary records become rows, the rest is left to `requests`.

A request is taken apart by its frames alone. Its resources and scopes, without the records, are
read by the library; so is every record that is not ordinary, in its place among the others.
Whatever is in doubt, the request as a whole included, is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Int64, LabelBatch, PredictionBatch
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
_REMEMBERED: Final = 1024
_REMEMBERED_BYTES_MAX: Final = 4096
_NONE: Final = np.empty(0, np.int64)
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
    predictions_skewed: Int64 | None
    """Of each row, 1 where its time was ahead of us and has been clamped; None = of none."""
    labels: LabelBatch
    label_records: Int64
    labels_skewed: Int64 | None
    ignored: int
    left: list[int]
    """The numbers of the records that were not read."""
    rest: bytes
    """The request without those that were: empty where all were."""


def read_traces(
    body: wire.Content, received_ns: int, reserve: Callable[[int], None], mapper: Mapper | None
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
    senders = _senders(found.skeleton(), logs=False)
    if senders is None:
        return None
    fates = [_fate(scope, mapper) for scope in senders.scopes]
    wanted = None
    if mapper is not None and scan.MAPPED in fates:
        wanted = WantedKeys.of([mapper.keys(scope) for scope in senders.scopes])
    return _read(body, found, fates, senders.origins, received_ns, reserve, wanted)


@dataclass(frozen=True, slots=True)
class _Senders:
    """What a request says beside its records."""

    origins: tuple[Origin, ...]
    """Of each resource."""
    scopes: tuple[str, ...]
    """The names of the scopes of all resources."""


def _senders(skeleton: bytes, *, logs: bool) -> _Senders | None:
    """Read a request without records; None where it is malformed, or names what is refused."""
    if len(skeleton) > _REMEMBERED_BYTES_MAX:
        return _read_senders(skeleton, logs)
    return _remembered_senders(skeleton, logs)


def _read_senders(skeleton: bytes, logs: bool) -> _Senders | None:
    try:
        if logs:
            of_logs = wire.parse_logs(skeleton, json=False).resource_logs
            resources = [each.resource for each in of_logs]
            scopes = [each.scope for in_resource in of_logs for each in in_resource.scope_logs]
        else:
            of_spans = wire.parse_traces(skeleton, json=False).resource_spans
            resources = [each.resource for each in of_spans]
            scopes = [each.scope for in_resource in of_spans for each in in_resource.scope_spans]
        return _Senders(
            tuple(read_origin(Attributes(resource.attributes)) for resource in resources),
            tuple(scope.name for scope in scopes),
        )
    except (wire.MalformedRequest, RefusedRecord):
        return None


# A sender says the same of itself in each of its requests.
_remembered_senders = lru_cache(_REMEMBERED)(_read_senders)


def _fate(scope: str, mapper: Mapper | None) -> int:
    fate = _FATES.get(scope)
    if fate is not None:
        return fate
    if mapper is None or mapper.keys(scope) == frozenset():
        return scan.FOREIGN
    return scan.MAPPED


def read_logs(
    body: wire.Content, received_ns: int, reserve: Callable[[int], None]
) -> Ordinary | None:
    """Read the ordinary labels of a log export request.

    Arguments and result as `read_traces`; `reserve` is told the number of all records.
    """
    found = Outline.of(body)
    if found is None:
        return None
    senders = _senders(found.skeleton(), logs=True)
    if senders is None:
        return None
    fates = [
        scan.LEFT if scope == semconv.SCOPE_PROCESSOR else scan.EVENTS for scope in senders.scopes
    ]
    reserve(len(found))
    return _read(body, found, fates, senders.origins, received_ns, lambda rows: None)


def _read(
    body: wire.Content,
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
    # Nearly always all of them were read, which bytes are told faster than numbers.
    left = [] if taken.tobytes().find(0) < 0 else np.flatnonzero(taken == 0).tolist()
    return Ordinary(
        predictions=_stacked(PredictionBatch, predictions),
        prediction_records=_joined([part.records for part in predictions]),
        predictions_skewed=_skewed(predictions),
        labels=_stacked(LabelBatch, labels),
        label_records=_joined([part.records for part in labels]),
        labels_skewed=_skewed(labels),
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


def _joined(columns: Sequence[Int64]) -> Int64:
    if len(columns) == 1:
        return columns[0]
    return np.concatenate(columns) if columns else _NONE


def _skewed(parts: Sequence[Part[_Batch]]) -> Int64 | None:
    if all(part.skewed is None for part in parts):
        return None
    return _joined(
        [np.zeros_like(part.records) if part.skewed is None else part.skewed for part in parts]
    )
