"""Spans of stages, and phases that spans tell of → rows: how long the steps of predictions took."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan import semconv
from inferspan_collector.batches import Int64, Refusal, StageBatch, Strings
from inferspan_collector.decode.attributes import Attributes, RefusedRecord, shown
from inferspan_collector.decode.compiled import stages as compiled
from inferspan_collector.decode.ordinary_rows import Part
from inferspan_collector.decode.predictions import TIME_MAX_NS, TIME_MIN_NS, span_context
from inferspan_collector.decode.scanned import Scanned

PHASES: Final = {
    "queue": semconv.PHASE_QUEUE_DURATION,
    "preprocess": semconv.PHASE_PREPROCESS_DURATION,
    "compute": semconv.PHASE_COMPUTE_DURATION,
    "postprocess": semconv.PHASE_POSTPROCESS_DURATION,
}
"""Name of a phase → the attribute that says how long it took."""
_WHOLE: Final = np.array([-1, *range(len(PHASES))], np.int32)
_SPAN_ID: Final = re.compile("[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StageRow:
    """One run of a step. Fields as the columns of `StageBatch`."""

    trace: tuple[int, int]
    span: int
    owner: int
    stage: str | None
    phase: str | None
    start_time: int
    duration: int


def read_stage(span: Span, attributes: Attributes, refused: list[Refusal]) -> list[StageRow]:
    """The rows of a stage's span: the stage, and its phases. None of one that is of no prediction.

    What is wrong with a phase costs the stage nothing; it is said in `refused`.
    """
    owner = _owner(span, attributes)
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    try:
        trace, span_id = span_context(span.trace_id, span.span_id)
        name = attributes.text(semconv.STAGE_NAME)
    except RefusedRecord:
        return []
    if not owner or name is None or not TIME_MIN_NS <= start <= end <= TIME_MAX_NS:
        return []
    whole = StageRow(trace, span_id, owner, name, None, start, end - start)
    return [whole, *_phases(whole, attributes, refused)]


def read_phases(
    span: Span, attributes: Attributes, start_ns: int, refused: list[Refusal]
) -> list[StageRow]:
    """The phases that a prediction's span tells of; faults as in `read_stage`."""
    trace, span_id = span_context(span.trace_id, span.span_id)
    whole = StageRow(trace, span_id, span_id, None, None, start_ns, 0)
    return _phases(whole, attributes, refused)


def _owner(span: Span, attributes: Attributes) -> int:
    """The span of the prediction that a stage is of; 0 where it says none."""
    named = named_prediction(attributes)
    if named is not None:
        return named
    parent = span.parent_span_id
    return int.from_bytes(parent, "big") if len(parent) == 8 else 0


def named_prediction(attributes: Attributes) -> int | None:
    """The span id of the prediction that a span names; 0 of what is none, None without a name."""
    said = attributes.value(semconv.PREDICTION_SPAN_ID)
    if said is None:
        return None
    return int(said, 16) if isinstance(said, str) and _SPAN_ID.fullmatch(said) else 0


def _phases(whole: StageRow, attributes: Attributes, refused: list[Refusal]) -> list[StageRow]:
    rows = []
    for phase, name in PHASES.items():
        if name not in attributes:
            continue
        try:
            seconds = attributes.number(name)
        except RefusedRecord:
            seconds = math.nan
        if not 0.0 <= seconds <= compiled.PHASE_SECONDS_MAX:
            message = (
                f"{name} = {shown(attributes.value(name))} is not a number of seconds from 0 to "
                f"{compiled.PHASE_SECONDS_MAX:.0e}; the rest of the span was taken without it"
            )
            refused.append(Refusal("phases", "bad_duration", message))
            continue
        duration = int(np.rint(seconds * 1e9))
        rows.append(replace(whole, phase=phase, duration=duration))
    return rows


def stage_batch(rows: Sequence[StageRow], received_ns: int) -> StageBatch:
    """Stack rows; all were received at the same moment."""
    if not rows:
        return StageBatch.empty()

    def numbers(name: str) -> Int64:
        return np.array([getattr(row, name) for row in rows], np.int64)

    return StageBatch(
        trace=np.array([row.trace for row in rows], np.uint64),
        span=np.array([row.span for row in rows], np.uint64),
        owner=np.array([row.owner for row in rows], np.uint64),
        stage=Strings.of(row.stage for row in rows),
        phase=Strings.of(row.phase for row in rows),
        start_time=numbers("start_time"),
        duration=numbers("duration"),
        received=np.full(len(rows), received_ns, np.int64),
    )


def stage_rows(scanned: Scanned, received_ns: int, without: Int64) -> Part[StageBatch]:
    """The stages among scanned records; refused are those whose names a reader will not take.

    Args:
        scanned: the records.
        received_ns: the time of receipt, Unix ns.
        without: records whose rows are left out, because a reader will look at them.
    """
    found = scanned.stages
    codes = found.codes(0)
    stage, bad = scanned.values.of_predictions(compiled.STAGE).coded(codes)
    unnamed = (codes >= 0) & (stage.codes < 0)
    if bad is not None:
        unnamed |= bad
    records = found.integers(compiled.RECORD)
    kept = ~unnamed
    if len(without):
        kept &= ~np.isin(records, without)
    seconds = np.stack([found.doubles(compiled.PHASES + n) for n in range(len(PHASES))], axis=1)
    phases_ns = np.rint(np.nan_to_num(seconds) * 1e9).astype(np.int64)
    takes = np.column_stack([found.integers(compiled.TAKES), phases_ns])
    there = np.column_stack([codes >= 0, seconds >= 0]) & kept[:, None]
    row, column = np.nonzero(there)
    batch = StageBatch(
        trace=found.pairs(compiled.TRACE)[row],
        span=found.integers(compiled.SPAN).view(np.uint64)[row],
        owner=found.integers(compiled.OWNER).view(np.uint64)[row],
        stage=stage.take(row),
        phase=Strings(_WHOLE[column], tuple(PHASES)),
        start_time=found.integers(compiled.START_TIME)[row],
        duration=takes[row, column],
        received=np.full(len(row), received_ns, np.int64),
    )
    return Part(batch, records[row], skewed=None, refused=records[unnamed])
