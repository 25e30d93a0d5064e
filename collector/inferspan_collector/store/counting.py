"""What a transaction adds to the counters and takes from them, added up before it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Int8, Int32, Int64, object_column
from inferspan_collector.store import grouping
from inferspan_collector.store.facts import SliceFacts
from inferspan_collector.store.staging import Columns

Judgement = tuple[str, bool, str | None, str | None, int]
"""Target, whether it counts, predicted and actual class as in the cell, and correct."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Outcomes that begin (sign 1) or end (sign -1), one row each."""

    prediction_row: Int64
    label_row: Int64
    series: Int32
    slices: Int32
    minute: Int64
    judgement: Int32
    sign: Int8

    @classmethod
    def of(cls, rows: Sequence[tuple[int, ...]]) -> Self:
        """Turn rows of these fields into columns."""
        types = (np.int64, np.int64, np.int32, np.int32, np.int64, np.int32, np.int8)
        columns = zip(*rows, strict=True) if rows else [()] * len(types)
        return cls(*(np.array(c, t) for c, t in zip(columns, types, strict=True)))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stack outcomes."""
        names = cls.__slots__
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def columns(self) -> Columns:
        """Rows of `outcomes`."""
        return {
            "prediction_row": self.prediction_row,
            "label_row": self.label_row,
            "series_id": self.series,
            "slices_id": self.slices,
            "minute": self.minute,
            "judgement_id": self.judgement,
        }

    def take(self, rows: NDArray[Any] | slice) -> Outcomes:
        """Select rows by mask or range."""
        return Outcomes(*(getattr(self, name)[rows] for name in self.__slots__))

    def __len__(self) -> int:
        return len(self.prediction_row)


def prediction_cells(
    columns: tuple[Int64, Int32, Int32, Bool, NDArray[np.int16]], sign: Int8, facts: SliceFacts
) -> Columns:
    """Rows of `prediction_cells`.

    Args:
        columns: minute, series, slices, failed and latency bucket of each prediction.
        sign: int8[N]: 1 where it begins to count, -1 where it ends.
        facts: of the combinations of slices.
    """
    (minute, series, code, failed, bucket), n = _cells(columns, sign, facts, slices_at=2)
    keys, values = _slices(facts, code)
    return {
        "minute": minute,
        "series_id": series,
        "slice_key": keys,
        "slice_value": values,
        "failed": failed,
        "bucket": bucket,
        "n": n,
    }


def outcome_cells(
    outcomes: Outcomes, facts: SliceFacts, judgements: Mapping[int, Judgement]
) -> Columns:
    """Rows of `outcome_cells`, of outcomes that count."""
    columns = (outcomes.minute, outcomes.series, outcomes.slices, outcomes.judgement)
    (minute, series, code, judgement), n = _cells(columns, outcomes.sign, facts, slices_at=2)
    keys, values = _slices(facts, code)
    target, _, predicted, actual, correct = _said(judgements, judgement)
    return {
        "minute": minute,
        "series_id": series,
        "target": target,
        "slice_key": keys,
        "slice_value": values,
        "predicted": predicted,
        "actual": actual,
        "correct": correct.astype(np.int8),
        "n": n,
    }


def arrival_cells(outcomes: Outcomes, judgements: Mapping[int, Judgement]) -> Columns:
    """Rows of `arrival_cells`, of outcomes that count."""
    group, first = grouping.groups((outcomes.series, outcomes.judgement))
    target, _, predicted, actual, correct = _said(judgements, outcomes.judgement[first])
    return {
        "series_id": outcomes.series[first],
        "target": target,
        "predicted": predicted,
        "actual": actual,
        "correct": correct.astype(np.int8),
        "added": grouping.sums(group, first, (outcomes.sign > 0).astype(np.int64)),
        "retracted": grouping.sums(group, first, (outcomes.sign < 0).astype(np.int64)),
    }


def _cells(
    columns: Sequence[NDArray[Any]], sign: Int8, facts: SliceFacts, slices_at: int
) -> tuple[list[NDArray[Any]], Int64]:
    """Add up equal rows, then again once per slice of each, and leave out what is nothing.

    Each column comes back as it went in, the combination of slices as the code of one slice.
    """
    group, first = grouping.groups(columns)
    n = grouping.sums(group, first, sign.astype(np.int64))
    once = [column[first] for column in columns]
    slices = once[slices_at]
    lengths = np.diff(facts.ends)[slices]
    parent = np.repeat(np.arange(len(first)), lengths)
    starts = np.repeat(facts.ends[slices] - (np.cumsum(lengths) - lengths), lengths)
    each = [column[parent] for column in once]
    each[slices_at] = facts.members[starts + np.arange(len(parent))]
    group, first = grouping.groups(each)
    n = grouping.sums(group, first, n[parent])
    left = n != 0
    return [column[first][left] for column in each], n[left]


def _slices(facts: SliceFacts, codes: Int32) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    pairs = facts.texts()
    return pairs[0][codes], pairs[1][codes]


def _said(judgements: Mapping[int, Judgement], numbers: Int32) -> list[NDArray[np.object_]]:
    """The fields of each judgement, as object arrays."""
    distinct, inverse = np.unique(numbers, return_inverse=True)
    fields = []
    for place in range(5):
        column = object_column(judgements[number][place] for number in distinct.tolist())
        fields.append(column[inverse.reshape(-1)])
    return fields
