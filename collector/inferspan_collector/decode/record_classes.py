"""Classes in a slim record → the column of a batch: one a row, or a set or ranking a row.

A class is a code of a dictionary, 0 = none; sets stand behind each other, and begin at offsets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inferspan import semconv
from inferspan_collector.batches import Strings
from inferspan_collector.decode.attributes import Attributes, RefusedRecord
from inferspan_collector.decode.packed_columns import (
    Coded,
    coded,
    distinct_rows,
    packed,
    unsigned,
)
from inferspan_collector.decode.unfit_calls import UnfitCalls, texts_of
from inferspan_collector.several_classes import class_set_text, ranking_text

_CODE_WEIGHT: Final = 16
"""Bytes that an entry of a set takes beside its text, while sets are compared."""
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class RecordClasses:
    """The classes of the rows, checked: one each, or a set each."""

    rows: int
    column: Coded | None
    """None where no row has an answer."""
    offsets: NDArray[np.uint32] | None = None
    """Where each row's set begins, and one more for the end; None where rows are no sets."""
    ranking: bool = False
    """Whether the order of a row's classes says something."""

    @classmethod
    def read(
        cls, attributes: Attributes, rows: int, ranking: bool, unfit: UnfitCalls
    ) -> RecordClasses:
        """Read the columns.

        Args:
            attributes: the record's.
            rows: of the record.
            ranking: whether the order of a row's classes says something.
            unfit: told of classes that cannot be kept.

        Raises:
            RefusedRecord: a code past the end of its dictionary, a wrong length or type.
        """
        name, codes_name = semconv.RECORD_CLASSES, semconv.RECORD_CLASS_CODES
        entries = attributes.class_entries(name)
        texts = texts_of(entries)
        raw = packed(attributes, semconv.RECORD_CLASS_OFFSETS)
        if raw is None:
            column = coded(attributes, codes_name, rows, name, texts)
            if column is not None:
                unfit.of_rows(column.codes, entries)
            return cls(rows, column)
        offsets: NDArray[np.uint32] = unsigned(semconv.RECORD_CLASS_OFFSETS, raw, rows + 1, (4,))
        if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any():
            raise RefusedRecord(
                "bad_offsets",
                f"{semconv.RECORD_CLASS_OFFSETS} must rise from 0 to the entries of {codes_name}",
            )
        column = coded(attributes, codes_name, int(offsets[-1]), name, texts)
        if column is None:
            raise RefusedRecord(
                "missing_column",
                f"{codes_name} is missing: {semconv.RECORD_CLASS_OFFSETS} needs it",
            )
        unfit.of_sets(column.codes, offsets, entries)
        return cls(rows, column, offsets, ranking)

    @property
    def weight(self) -> int:
        """Bytes that the texts of sets take; their codes may have taken far less."""
        if self.column is None or self.offsets is None:
            return 0
        lengths = np.array(
            [0, *(len(json.dumps(text, ensure_ascii=False)) for text in self.column.texts)],
            np.int64,
        )
        codes = self.column.codes
        characters = sum(
            int(lengths[codes[first : first + _CHUNK]].sum())
            for first in range(0, len(codes), _CHUNK)
        )
        return characters + len(codes) * _CODE_WEIGHT

    def predicted(self) -> Strings:
        """The class of each row as text, or its set as one."""
        if self.column is None:
            return Strings.constant(None, self.rows)
        if self.offsets is None:
            return self.column.strings()
        texts: list[str | None] = []
        numbers = np.empty(self.rows, np.int32)
        lengths = np.diff(self.offsets)
        by_length = np.argsort(lengths, kind="stable")
        ends = np.flatnonzero(np.diff(lengths[by_length])) + 1
        for rows in np.split(by_length, ends) if self.rows else ():
            length = int(lengths[rows[0]])
            places = self.offsets[rows].astype(np.int64)[:, None] + np.arange(length)
            distinct, inverse = distinct_rows(self.column.codes[places])
            numbers[rows] = inverse + len(texts) + 1
            texts += [
                self._text([self.column.texts[c - 1] if c else None for c in row])
                for row in distinct.tolist()
            ]
        return Coded(numbers, texts).strings()

    def _text(self, entries: list[str | None]) -> str | None:
        """A row as text; None where its one entry says that there was no answer."""
        as_text = ranking_text if self.ranking else class_set_text
        return None if entries == [None] else as_text(t for t in entries if t is not None)
