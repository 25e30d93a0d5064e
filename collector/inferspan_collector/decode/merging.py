"""What was read record by record, put among what was read by columns, in the order it was sent."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from inferspan_collector.batches import (
    Bool,
    Int64,
    LabelBatch,
    PredictionBatch,
    Refusal,
    StageBatch,
)
from inferspan_collector.decode.attributes import RefusedRecord
from inferspan_collector.decode.ordinary import Ordinary
from inferspan_collector.decode.row_limit import RowLimit

_Batch = TypeVar("_Batch", PredictionBatch, LabelBatch, StageBatch)


class Merging:
    """Follows a request's records, of which those in `ordinary` are read already.

    Args:
        ordinary: what was read by columns.
        limit: the rows of the request so far.
    """

    def __init__(self, ordinary: Ordinary, limit: RowLimit) -> None:
        self._ordinary = ordinary
        self._limit = limit
        self._left = iter(ordinary.left)
        self._rows = ordinary.prediction_records.tolist() if ordinary.left else []
        self._passed = 0
        self._refused: list[slice] = []
        self._record = -1
        self._spans: list[int] = []
        self._labels: list[int] = []
        self._stages: list[int] = []

    def next_record(self) -> list[Refusal]:
        """Go on to the next record that is read by itself; what is refused of those before it."""
        self._record = next(self._left)
        return self._pass(bisect_left(self._rows, self._record))

    def end(self) -> list[Refusal]:
        """Go on to the end of the request."""
        return self._pass(len(self._ordinary.predictions))

    def note(self, spans: int, labels: int, stages: int) -> None:
        """Remember how many prediction spans, labels and rows of stages were read by themselves."""
        self._spans += [self._record] * (spans - len(self._spans))
        self._labels += [self._record] * (labels - len(self._labels))
        self._stages += [self._record] * (stages - len(self._stages))

    def predictions(self, rows_of_spans: Sequence[int], others: PredictionBatch) -> PredictionBatch:
        """All predictions; `others` are those of single spans, with so many rows each."""
        batch, records = self._ordinary.predictions, self._ordinary.prediction_records
        if self._refused:
            kept = self._kept()
            batch, records = batch.take(kept), records[kept]
        if not len(others):
            return batch
        return _in_order(batch, records, others, np.repeat(self._spans, rows_of_spans))

    def labels(self, others: LabelBatch) -> LabelBatch:
        """All labels; `others` are those that were read by themselves."""
        if not len(others):
            return self._ordinary.labels
        ordinary = self._ordinary
        return _in_order(ordinary.labels, ordinary.label_records, others, self._labels)

    def stages(self, others: StageBatch) -> StageBatch:
        """All rows of stages; `others` are those that were read by themselves."""
        if not len(others):
            return self._ordinary.stages
        ordinary = self._ordinary
        return _in_order(ordinary.stages, ordinary.stage_records, others, self._stages)

    @property
    def skewed(self) -> int:
        """Rows of `ordinary` whose time has been clamped."""
        predictions, labels = self._ordinary.predictions_skewed, self._ordinary.labels_skewed
        if predictions is not None and self._refused:
            predictions = predictions[self._kept()]
        return sum(int(rows.sum()) for rows in (predictions, labels) if rows is not None)

    def _pass(self, rows: int) -> list[Refusal]:
        """Admit the predictions up to a row."""
        wanted = rows - self._passed
        admitted = self._limit.admit(wanted)
        self._passed = rows
        if admitted == wanted:
            return []
        self._refused.append(slice(rows - wanted + admitted, rows))
        try:
            self._limit.take(1)
        except RefusedRecord as refused:
            refusal = Refusal("predictions", refused.reason, str(refused))
            return [refusal] * (wanted - admitted)
        raise AssertionError("the limit refused rows that it has room for")

    def _kept(self) -> Bool:
        kept = np.ones(len(self._ordinary.predictions), np.bool_)
        for rows in self._refused:
            kept[rows] = False
        return kept


def _in_order(
    batch: _Batch, records: Int64, others: _Batch, others_records: Sequence[int] | Int64
) -> _Batch:
    """The rows of both in the order of their records, those of one record as they were."""
    order = np.argsort(np.concatenate([records, others_records]), kind="stable")
    return type(batch).concat([batch, others]).take(order)
