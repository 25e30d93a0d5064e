"""The compiled way through a request: ordinary records become rows, the rest is left to `requests`.

A request is taken apart by its frames alone. Its resources and scopes, without the records, are
read by the library; so is every record that is not ordinary, in its place among the others.
Whatever is in doubt, the request as a whole included, is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import (
    Bool,
    Decoded,
    Int64,
    LabelBatch,
    PredictionBatch,
    StageBatch,
    UInt8,
)
from inferspan_collector.decode import wire
from inferspan_collector.decode.attributes import Attributes, RefusedRecord
from inferspan_collector.decode.compiled import scan
from inferspan_collector.decode.mapping import Mapper
from inferspan_collector.decode.ordinary_rows import Part, label_rows, prediction_rows
from inferspan_collector.decode.predictions import Origin, read_origin
from inferspan_collector.decode.row_limit import ROWS_MAX, rows_max
from inferspan_collector.decode.scanned import Outline, WantedKeys, limits, scan_records
from inferspan_collector.decode.stages import stage_rows
from inferspan_collector.last_used import LastUsed

_RECORDS_AT_ONCE: Final = 8192
"""The tables of rows never hold more: what a request makes is told before the next are made."""
_REMEMBERED: Final = 1024
_NONE: Final = np.empty(0, np.int64)
_Batch = TypeVar("_Batch", PredictionBatch, LabelBatch, StageBatch)
_FATES: Final = {
    semconv.SCOPE_PREDICTIONS: scan.OURS,
    semconv.SCOPE_LABELS: scan.LABELS,
    semconv.SCOPE_RECORDS: scan.LEFT,
    semconv.SCOPE_PROCESSOR: scan.IGNORED,
}


@dataclass(slots=True, eq=False)
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
    stages: StageBatch
    stage_records: Int64
    ignored: int
    left: list[int]
    """The numbers of the records that were not read."""
    _found: Outline
    _taken: UInt8

    def rest(self) -> bytes:
        """The request without the records that were read: empty where all were."""
        return self._found.without(self._taken) if self.left else b""

    def only(self, records: Bool, ignored: int) -> Ordinary:
        """The rows of records chosen by mask, of which none was left, and so many were ignored."""
        predictions, labels, stages = (
            records[numbers]
            for numbers in (self.prediction_records, self.label_records, self.stage_records)
        )
        return replace(
            self,
            predictions=self.predictions.take(predictions),
            prediction_records=self.prediction_records[predictions],
            predictions_skewed=_of(self.predictions_skewed, predictions),
            labels=self.labels.take(labels),
            label_records=self.label_records[labels],
            labels_skewed=_of(self.labels_skewed, labels),
            stages=self.stages.take(stages),
            stage_records=self.stage_records[stages],
            ignored=ignored,
            left=[],
        )


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
    plan = _plan(found, mapper, logs=False)
    return None if plan is None else _read(found, plan, received_ns, reserve)


def read_together(
    bodies: Sequence[wire.Content],
    received_ns: int,
    reserve: Callable[[int], None],
    mapper: Mapper | None,
    labels: bool,
) -> tuple[Ordinary | None, tuple[int, ...]]:
    """Read the spans of several trace export requests as if they were one.

    Arguments as `read_traces`; those with labels are left without `labels`. Nothing is copied.

    Returns:
        What was read, and which of the bodies that is. The others, of which a record is left, or
        which may hold too many rows, have no part in it.
    """
    outlined: list[tuple[int, Outline, _Plan]] = []
    for place, body in enumerate(bodies):
        found = Outline.of(body)
        if found is None or len(found) > rows_max(len(body)):
            continue
        plan = _plan(found, mapper, logs=False)
        if plan is not None and plan.wanted is None:
            outlined.append((place, found, plan))
    if not outlined:
        return None, ()
    places, outlines, plans = zip(*outlined, strict=True)
    read = _read(Outline.together(outlines), _Plan.together(plans), received_ns, reserve)
    left = read.left if labels else [*read.left, *read.label_records.tolist()]
    if not left:
        return read, places
    ends = np.cumsum([len(each) for each in outlines])
    odd = set(np.searchsorted(ends, left, side="right").tolist())
    # What they hold beside rows is told by reading them once more: they are few, or soon alone.
    again = _read(
        Outline.together([outlines[each] for each in odd]),
        _Plan.together([plans[each] for each in odd]),
        received_ns,
        lambda rows: None,
    )
    kept = np.array([each not in odd for each in range(len(outlines))], np.bool_)
    return (
        read.only(np.repeat(kept, np.diff(ends, prepend=0)), read.ignored - again.ignored),
        tuple(place for place, stays in zip(places, kept.tolist(), strict=True) if stays),
    )


def all_ordinary(ordinary: Ordinary, size_bytes: int) -> Decoded | None:
    """What a request held of which every record is ordinary; None where more is to be done."""
    if ordinary.left or len(ordinary.predictions) > rows_max(size_bytes):
        return None
    clamped = (ordinary.predictions_skewed, ordinary.labels_skewed)
    return Decoded(
        predictions=ordinary.predictions,
        labels=ordinary.labels,
        stages=ordinary.stages,
        ignored=ordinary.ignored,
        clock_skewed=sum(int(rows.sum()) for rows in clamped if rows is not None),
        size_bytes=size_bytes,
    )


@dataclass(slots=True, eq=False)
class _Plan:
    """What a request says beside its records, and what becomes of them by that."""

    origins: tuple[Origin, ...]
    """Of each resource."""
    scope_table: Int64
    """What becomes of the records of each scope, and its resource, [2, scopes]."""
    wanted: WantedKeys | None
    """Where some are to be mapped."""

    @classmethod
    def together(cls, plans: Sequence[_Plan]) -> _Plan:
        """The plan of requests without such, as `Outline.together` numbers them on."""
        origins = tuple(origin for plan in plans for origin in plan.origins)
        table = np.concatenate([plan.scope_table for plan in plans], axis=1)
        first = before = 0
        for plan in plans:
            end = first + plan.scope_table.shape[1]
            table[1, first:end] += before
            first, before = end, before + len(plan.origins)
        return cls(origins, table, None)


_Key = tuple[bytes, Mapper | None, bool]
_plans: Final[LastUsed[_Key, tuple[_Plan | None]]] = LastUsed(_REMEMBERED)
"""A sender says the same of itself in each of its requests."""


def _plan(found: Outline, mapper: Mapper | None, *, logs: bool) -> _Plan | None:
    """The plan of a request; None where it is malformed, or names what is refused."""
    if found.frame is None:
        return _made_plan(found, mapper, logs)
    key = (found.frame, mapper, logs)
    known = _plans.get(key)
    if known is None:
        known = (_made_plan(found, mapper, logs),)
        _plans.put(key, known)
    return known[0]


def _made_plan(found: Outline, mapper: Mapper | None, logs: bool) -> _Plan | None:
    skeleton = found.skeleton()
    try:
        if logs:
            of_logs = wire.parse_logs(skeleton, json=False).resource_logs
            resources = [each.resource for each in of_logs]
            scopes = [each.scope.name for group in of_logs for each in group.scope_logs]
        else:
            of_spans = wire.parse_traces(skeleton, json=False).resource_spans
            resources = [each.resource for each in of_spans]
            scopes = [each.scope.name for group in of_spans for each in group.scope_spans]
        origins = tuple(read_origin(Attributes(resource.attributes)) for resource in resources)
    except (wire.MalformedRequest, RefusedRecord):
        return None
    fates = [_fate_of_logs(scope) if logs else _fate(scope, mapper) for scope in scopes]
    wanted = None
    if mapper is not None and scan.MAPPED in fates:
        wanted = WantedKeys.of([mapper.keys(scope) for scope in scopes])
    return _Plan(origins, np.array([fates, found.resource_of], np.int64), wanted)


def _fate_of_logs(scope: str) -> int:
    return scan.LEFT if scope == semconv.SCOPE_PROCESSOR else scan.EVENTS


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
    plan = _plan(found, None, logs=True)
    if plan is None:
        return None
    reserve(len(found))
    return _read(found, plan, received_ns, lambda rows: None)


def _read(
    found: Outline,
    plan: _Plan,
    received_ns: int,
    reserve: Callable[[int], None],
) -> Ordinary:
    origins = plan.origins
    packed = limits(received_ns)
    taken = np.zeros(len(found), np.uint8)
    predictions: list[Part[PredictionBatch]] = []
    labels: list[Part[LabelBatch]] = []
    stages: list[Part[StageBatch]] = []
    ignored = reserved = 0
    for first in range(0, len(found), _RECORDS_AT_ONCE):
        some = range(first, min(first + _RECORDS_AT_ONCE, len(found)))
        scanned = scan_records(found, plan.scope_table, packed, some, taken)
        ignored += scanned.ignored
        refused = _NONE
        if len(scanned.predictions):
            part = prediction_rows(scanned, origins, received_ns)
            refused = part.refused
            taken[refused] = 0
            predictions.append(part)
            # A request may hold no more, whatever it says.
            rows = min(len(part.batch), ROWS_MAX - reserved)
            reserve(rows)
            reserved += rows
        if len(scanned.labels):
            labels.append(label_rows(scanned, origins, received_ns))
            taken[labels[-1].refused] = 0
        if len(scanned.stages):
            stages.append(stage_rows(scanned, received_ns, refused))
            taken[stages[-1].refused] = 0
    if plan.wanted is not None:
        ignored += plan.wanted.pass_by(found, taken)
    # Nearly always all of them were read, which bytes are told faster than numbers.
    left = [] if taken.tobytes().find(0) < 0 else np.flatnonzero(taken == 0).tolist()
    return Ordinary(
        predictions=_stacked(PredictionBatch, predictions),
        prediction_records=_joined([part.records for part in predictions]),
        predictions_skewed=_skewed(predictions),
        labels=_stacked(LabelBatch, labels),
        label_records=_joined([part.records for part in labels]),
        labels_skewed=_skewed(labels),
        stages=_stacked(StageBatch, stages),
        stage_records=_joined([part.records for part in stages]),
        ignored=ignored,
        left=left,
        _found=found,
        _taken=taken,
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


def _of(column: Int64 | None, rows: Bool) -> Int64 | None:
    return None if column is None else column[rows]


def _skewed(parts: Sequence[Part[_Batch]]) -> Int64 | None:
    if all(part.skewed is None for part in parts):
        return None
    return _joined(
        [np.zeros_like(part.records) if part.skewed is None else part.skewed for part in parts]
    )
