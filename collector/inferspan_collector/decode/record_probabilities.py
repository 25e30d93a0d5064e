"""Probabilities of all classes in a slim record → columns of a batch.

Lists of classes are a dictionary, each a JSON array; a row has the code of its list, 0 = none. The
probabilities of the rows that have a list stand behind each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan import semconv
from inferspan_collector.batches import Float64, Int64, Strings, Texts
from inferspan_collector.decode import probabilities
from inferspan_collector.decode.attributes import (
    Attributes,
    RefusedRecord,
    checked_text,
    shown,
)
from inferspan_collector.decode.packed_columns import Coded, coded, floats

_CLASSES: Final = semconv.RECORD_PROBABILITY_CLASSES
_CODES: Final = semconv.RECORD_PROBABILITY_CLASS_CODES
_NUMBERS: Final = semconv.RECORD_PROBABILITIES
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class RecordProbabilities:
    """What a record holds of them, checked, and no larger than it came."""

    lists: Coded
    """The list of classes of each row, as `probabilities.classes_text` writes it."""
    lengths: Int64
    """Classes of each list, 0 for code 0."""
    numbers: Float64
    """Of the rows that have a list, behind each other."""
    weight: int
    """Bytes that the lists of all rows take; their codes took far less."""
    task: str | None

    @classmethod
    def read(
        cls, attributes: Attributes, rows: int, task: str | None
    ) -> RecordProbabilities | None:
        """Read the columns; None where the record has none.

        Raises:
            RefusedRecord: a list that is none, a code past their end, a wrong length or type.
        """
        texts = attributes.value(_CLASSES)
        if texts is not None and not isinstance(texts, list):
            raise RefusedRecord(
                "bad_type", f"{_CLASSES} = {shown(texts)} is not a list; send one text per list"
            )
        lists = [_list_of_classes(text) for text in texts or ()]
        written = [probabilities.classes_text(names) for names in lists]
        column = coded(attributes, _CODES, rows, _CLASSES, None if texts is None else written)
        if column is None:
            if _NUMBERS in attributes:
                raise RefusedRecord(
                    "missing_column", f"{_CODES} is missing: {_NUMBERS} needs it and {_CLASSES}"
                )
            return None
        lengths = np.array([0, *map(len, lists)], np.int64)
        uses = _uses(column.codes, len(lengths))
        numbers = floats(attributes, _NUMBERS, int(uses @ lengths))
        if numbers is None and (lengths * uses).any():
            raise RefusedRecord("missing_column", f"{_NUMBERS} is missing: {_CODES} needs it")
        bytes_of = np.array([0, *(len(text.encode()) for text in written)], np.int64)
        weight = int(uses @ bytes_of)
        return cls(column, lengths, np.empty(0) if numbers is None else numbers, weight, task)

    def columns(self) -> tuple[Strings, Texts]:
        """(classes, probabilities), as batches hold them; a row with a NaN has none."""
        codes = self.lists.codes
        kept = [probabilities.are_kept(self.task, n) for n in self.lengths.tolist()]
        return probabilities.of_doubles(
            self.numbers, self.lengths[codes], self.lists.strings(), np.array(kept)[codes]
        )


def _uses(codes: NDArray[Any], count: int) -> Int64:
    """int64[count]: how many rows have each code."""
    # Piece by piece: counting makes integers of 8 bytes of codes that may have one.
    pieces = [
        np.bincount(codes[first : first + _CHUNK], minlength=count)
        for first in range(0, len(codes), _CHUNK)
    ]
    found: Int64 = np.sum(pieces, axis=0, dtype=np.int64) if pieces else np.zeros(count, np.int64)
    return found


def _list_of_classes(text: object) -> list[str]:
    try:
        named = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        named = None
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise RefusedRecord(
            "bad_names", f"{_CLASSES} holds {shown(text)}, which is no JSON array of texts"
        )
    classes = [semconv.class_text(checked_text(_CLASSES, each)) for each in named]
    known = [text for text in classes if text is not None]
    if len(set(known)) != len(named):
        raise RefusedRecord(
            "bad_classes", f"{_CLASSES} holds a list that names a class twice or leaves one out"
        )
    return known
