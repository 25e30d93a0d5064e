"""What a distinct value of a coded column means: asked once of the readers of single records.

So the compiled way and the way by the library have one definition of what a value means and of what
is refused. A value that a reader refuses is no error here: its records go the other way, and are
refused there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from inferspan import semconv
from inferspan_collector.batches import Bool, Float64, Int32, Int64, Strings
from inferspan_collector.decode.attributes import Attributes, RefusedRecord
from inferspan_collector.decode.compiled import names
from inferspan_collector.decode.compiled.wording import HEAD_BYTES
from inferspan_collector.decode.label_records import read_class, read_field
from inferspan_collector.decode.packed_columns import json_names, names_text
from inferspan_collector.decode.predictions import read_operation, read_task
from inferspan_collector.decode.probabilities import classes_text

SLICE: Final = semconv.SLICE_PREFIX
"""Stands for the name of any slice."""
LABEL_FIELDS: Final = {
    semconv.MODEL_NAME: "model",
    semconv.MODEL_VERSION: "version",
    semconv.TARGET_NAME: "target",
    semconv.TARGET_KIND: "kind",
    semconv.LABEL_SOURCE: "source",
    semconv.LABEL_ANNOTATOR_KIND: "annotator_kind",
}
_BAD: Final = -2
_REMEMBERED: Final = 4096
_REMEMBERED_BYTES_MAX: Final = 512
"""What is larger does not often come again."""
_REMEMBERED_NAMES_BYTES_MAX: Final = 4096
_REMEMBERED_TEXTS: Final = 256


@dataclass(frozen=True, slots=True)
class _Refused:
    """A reader does not take the value."""


Meaning = str | int | tuple[str | None, float] | None | _Refused


_Truths = tuple[Int32, Float64, tuple[str, ...], bool]
"""By code: the code of a class's text, and its number; the texts; whether some are refused."""


class Meanings:
    """What the distinct values of a column mean, by code.

    Args:
        each: the text of each, None = absent; of features, how many there are; of classes, all of
            them as `probabilities.classes_text` writes them; of those of labels, text and number.
    """

    def __init__(self, each: tuple[Meaning, ...]) -> None:
        self._each = each
        texts = tuple(meaning for meaning in each if isinstance(meaning, str))
        self._texts = texts if len(set(texts)) == len(each) else None
        only = each[0] if len(each) == 1 else None
        self.count = only if isinstance(only, int) else None
        """How many entries each row must have that names any, where all name the same; else
        None."""
        # What follows from them for any request, made once.
        self._tables: dict[str | None, tuple[Int32, tuple[str, ...], bool]] = {}
        self._classes: _Truths | None = None
        self._counts = np.array([*(n if isinstance(n, int) else _BAD for n in each), -1], np.int64)

    def coded(self, codes: Int32, absent: str | None = None) -> tuple[Strings, Bool | None]:
        """A coded column as batches hold it.

        Args:
            codes: of each row, -1 = absent.
            absent: what rows say that name nothing.

        Returns:
            The column, and which rows hold a value that was refused; None = none does.
        """
        if self._texts is not None and absent is None:
            return Strings(codes, self._texts), None
        if absent not in self._tables:
            self._tables[absent] = self._table(absent)
        table, texts, some_bad = self._tables[absent]
        return _without_bad(table[codes], texts, some_bad)

    def _table(self, absent: str | None) -> tuple[Int32, tuple[str, ...], bool]:
        seen: dict[str, int] = {}
        nothing = -1 if absent is None else seen.setdefault(absent, 0)
        table = [
            seen.setdefault(meaning, len(seen))
            if isinstance(meaning, str)
            else _BAD
            if isinstance(meaning, _Refused)
            else nothing
            for meaning in self._each
        ]
        return np.array([*table, nothing], np.int32), tuple(seen), _BAD in table

    def counts(self, codes: Int32) -> Int64:
        """How many entries each row must have; -1 where it names none, -2 where it is refused."""
        return self._counts[codes]

    def classes(
        self, codes: Int32, values: Float64, valued: Int64 | None
    ) -> tuple[Strings, Float64, Bool | None]:
        """What labels say is true.

        Args:
            codes: of their classes, -1 = no class.
            values: the numbers of the labels that say one.
            valued: which do, not 0; None = none does.

        Returns:
            The truth as text and as number, and which rows hold a class that was refused.
        """
        if self._classes is None:
            self._classes = self._truths()
        table, numbers, texts, some_bad = self._classes
        coded, actual = table[codes], numbers[codes]
        if valued is not None and (rows := np.flatnonzero(valued)).size:
            seen = {text: code for code, text in enumerate(texts)}
            said = (semconv.class_text(value) or "" for value in values[rows].tolist())
            coded[rows] = [seen.setdefault(text, len(seen)) for text in said]
            actual[rows] = values[rows]
            texts = tuple(seen)
        truth, bad = _without_bad(coded, texts, some_bad)
        return truth, actual, bad

    def _truths(self) -> _Truths:
        seen: dict[str, int] = {}
        table, numbers = [], []
        for meaning in self._each:
            text, number = meaning if isinstance(meaning, tuple) else (None, math.nan)
            table.append(_BAD if text is None else seen.setdefault(text, len(seen)))
            numbers.append(number)
        codes = np.array([*table, -1], np.int32)
        return codes, np.array([*numbers, math.nan]), tuple(seen), _BAD in table


def _without_bad(
    coded: Int32, texts: tuple[str, ...], some_bad: bool
) -> tuple[Strings, Bool | None]:
    """A column in which what was refused is absent, and which rows were; writes in `coded`."""
    if not some_bad:
        return Strings(coded, texts), None
    bad = coded == _BAD
    coded[bad] = -1
    return Strings(coded, texts), bad


_NOTHING: Final = Meanings(())


class Vocabulary:
    """The distinct values of a request's coded columns, and what they mean.

    Args:
        values: of each slot, its values by code, each as an `AnyValue` is encoded.
    """

    def __init__(self, values: Mapping[int, Sequence[bytes]]) -> None:
        self._values = values
        self._of_predictions: dict[int, Meanings] = {}
        self._of_labels: dict[int, Meanings] = {}
        self._names: dict[int, Meanings] = {}

    def has(self, slot: int) -> bool:
        """Whether a slot has values."""
        return slot in self._values

    def of_predictions(self, slot: int) -> Meanings:
        """What the values of a slot mean where predictions have them."""
        meanings = self._of_predictions.get(slot)
        if meanings is None:
            name = names.CODED[slot] if slot < names.SLICE_SLOT else SLICE
            meanings = self._read(slot, name, _one_of_prediction)
            self._of_predictions[slot] = meanings
        return meanings

    def names(self, slot: int) -> Meanings:
        """What the names of features are as texts; None where they are refused."""
        meanings = self._names.get(slot)
        if meanings is None:
            meanings = Meanings(tuple(_names_text(raw) for raw in self._values[slot]))
            self._names[slot] = meanings
        return meanings

    def of_labels(self, slot: int) -> Meanings:
        """The same of labels; of their class, the text and the number it spells."""
        meanings = self._of_labels.get(slot)
        if meanings is None:
            meanings = self._read(slot, names.CODED[slot], _one_of_label)
            self._of_labels[slot] = meanings
        return meanings

    def _read(self, slot: int, name: str, one_of: Callable[[str, bytes], Meaning]) -> Meanings:
        values = self._values.get(slot)
        return Meanings(tuple(one_of(name, raw) for raw in values)) if values else _NOTHING


# Most senders use the same few values in each of their requests.
@lru_cache(_REMEMBERED_TEXTS)
def told(text: bytes) -> Vocabulary:
    """The vocabulary that `compiled.wording` writes as one text."""
    values: dict[int, list[bytes]] = {}
    place = 0
    while place < len(text):
        begin = place + HEAD_BYTES
        end = begin + int.from_bytes(text[place + 1 : begin], "little")
        values.setdefault(text[place], []).append(text[begin:end])
        place = end
    return Vocabulary(values)


def _of_prediction(name: str, raw: bytes) -> Meaning:
    attributes = Attributes([KeyValue(key=name, value=AnyValue.FromString(raw))])
    try:
        return _read_of_prediction(name, attributes)
    except RefusedRecord:
        return _Refused()


def _of_label(name: str, raw: bytes) -> Meaning:
    value = Attributes([KeyValue(key=name, value=AnyValue.FromString(raw))]).value(name)
    try:
        if name == semconv.LABEL_CLASS:
            return read_class(value)
        return read_field(LABEL_FIELDS[name], value)
    except RefusedRecord:
        return _Refused()


_remembered_of_prediction = lru_cache(_REMEMBERED)(_of_prediction)
_remembered_of_label = lru_cache(_REMEMBERED)(_of_label)


def _one_of_prediction(name: str, raw: bytes) -> Meaning:
    known = len(raw) <= _REMEMBERED_BYTES_MAX
    return _remembered_of_prediction(name, raw) if known else _of_prediction(name, raw)


def _one_of_label(name: str, raw: bytes) -> Meaning:
    known = len(raw) <= _REMEMBERED_BYTES_MAX
    return _remembered_of_label(name, raw) if known else _of_label(name, raw)


def _read_of_prediction(name: str, attributes: Attributes) -> Meaning:
    if name == semconv.OPERATION_NAME:
        return read_operation(attributes)
    if name == semconv.TASK_TYPE:
        return read_task(attributes)
    if name == semconv.MODEL_NAME:
        return attributes.text(name) or _Refused()
    if name in (semconv.OUTPUT_CLASS, semconv.OUTPUT_POSITIVE_CLASS):
        return attributes.class_text(name)
    if name == SLICE:
        # One entry per row is for the reader of batches.
        is_list = isinstance(attributes.value(name), list)
        return _Refused() if is_list else attributes.class_text(name)
    if name in (semconv.FEATURE_NAMES, semconv.FEATURE_CATEGORY_NAMES):
        return len(json_names(attributes, name))
    if name == semconv.OUTPUT_CLASSES:
        classes = attributes.named_classes(name)
        if classes is None:
            return _Refused()
        names = [text for text in classes if text is not None]
        complete = len(set(names)) == len(classes)
        return classes_text(names) if complete else _Refused()
    return attributes.text(name)


def _names_text(raw: bytes) -> str | None:
    known = len(raw) <= _REMEMBERED_NAMES_BYTES_MAX
    return _remembered_names(raw) if known else _read_names(raw)


def _read_names(raw: bytes) -> str | None:
    attributes = Attributes([KeyValue(key=semconv.FEATURE_NAMES, value=AnyValue.FromString(raw))])
    try:
        return names_text(json_names(attributes, semconv.FEATURE_NAMES))
    except RefusedRecord:
        return None


_remembered_names = lru_cache(_REMEMBERED)(_read_names)


def any_of(masks: Iterable[Bool | None]) -> Bool | None:
    """Which rows any of the masks holds; None = no row."""
    held = [mask for mask in masks if mask is not None and mask.any()]
    return np.logical_or.reduce(held) if held else None
