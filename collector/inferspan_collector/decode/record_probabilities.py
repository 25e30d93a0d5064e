"""Probabilities of all classes in a slim record → columns of a batch.

Lists of classes are a dictionary, each a JSON array; a row has the code of its list, 0 = none. The
probabilities of the rows that have a list stand behind each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan import semconv
from inferspan_collector.batches import Float64, Int64, Strings, Texts
from inferspan_collector.decode import probabilities
from inferspan_collector.decode.attributes import (
    CLASSES_LENGTH_MAX,
    Attributes,
    Entries,
    RefusedRecord,
    checked_text,
    json_array,
    shown,
)
from inferspan_collector.decode.packed_columns import Coded, coded, floats
from inferspan_collector.decode.unfit_calls import UnfitCalls

_CLASSES: Final = semconv.RECORD_PROBABILITY_CLASSES
_CODES: Final = semconv.RECORD_PROBABILITY_CLASS_CODES
_NUMBERS: Final = semconv.RECORD_PROBABILITIES
_CHUNK: Final = 1 << 20
_NO_LIST: Final = "bad_list"
"""Why the length of a list is not known."""


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
        cls, attributes: Attributes, rows: int, task: str | None, unfit: UnfitCalls
    ) -> RecordProbabilities | None:
        """Read the columns; None where the record has none.

        Args:
            attributes: the record's.
            rows: of the record.
            task: of its model.
            unfit: told of lists with a class that cannot be kept.

        Raises:
            RefusedRecord: a row's list is none, so that nothing says where the probabilities of the
                next begin; a code past their end, a wrong length or type.
        """
        texts = attributes.value(_CLASSES)
        if texts is not None and not isinstance(texts, list):
            raise RefusedRecord(
                "bad_type", f"{_CLASSES} = {shown(texts)} is not a list; send one text per list"
            )
        lists, faults = _lists_of_classes(texts or ())
        written: list[str | None] = [probabilities.classes_text(names) for names in lists]
        column = coded(attributes, _CODES, rows, _CLASSES, None if texts is None else written)
        if column is None:
            if _NUMBERS in attributes:
                raise RefusedRecord(
                    "missing_column", f"{_CODES} is missing: {_NUMBERS} needs it and {_CLASSES}"
                )
            return None
        lengths = np.array([0, *map(len, lists)], np.int64)
        uses = _uses(column.codes, len(lengths))
        for place, fault in faults.items():
            if fault.reason == _NO_LIST and uses[place + 1]:
                raise fault
        unfit.of_rows(column.codes, Entries(written, faults))
        numbers = floats(attributes, _NUMBERS, int(uses @ lengths))
        if numbers is None and (lengths * uses).any():
            raise RefusedRecord("missing_column", f"{_NUMBERS} is missing: {_CODES} needs it")
        bytes_of = np.array([0, *(len((text or "").encode()) for text in written)], np.int64)
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


def _lists_of_classes(
    texts: Iterable[object],
) -> tuple[list[list[str]], dict[int, RefusedRecord]]:
    """The classes of each list, as many as it names; and place → why a list cannot be kept."""
    lists: list[list[str]] = []
    faults: dict[int, RefusedRecord] = {}
    for place, text in enumerate(texts):
        named: list[Any] = []
        try:
            named = _array(text)
            lists.append(_classes(text, named))
        except RefusedRecord as fault:
            # Its rows will be left out, but first their probabilities have to be passed over.
            lists.append([""] * len(named))
            faults[place] = fault
    return lists, faults


def _array(text: object) -> list[Any]:
    named = json_array(text)
    if named is None:
        raise RefusedRecord(
            _NO_LIST,
            f"{_CLASSES} holds {shown(text)}, which is no JSON array of at "
            f"most {CLASSES_LENGTH_MAX} characters",
        )
    return named


def _classes(text: object, named: list[Any]) -> list[str]:
    if not all(isinstance(each, str) for each in named):
        raise RefusedRecord(
            "bad_names", f"{_CLASSES} holds {shown(text)}, which is no JSON array of texts"
        )
    classes = [semconv.class_text(checked_text(_CLASSES, each)) for each in named]
    known = [each for each in classes if each is not None]
    if len(set(known)) != len(named):
        raise RefusedRecord(
            "bad_classes", f"{_CLASSES} holds a list that names a class twice or leaves one out"
        )
    return known
