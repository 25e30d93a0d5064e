"""What a distinct value of a coded column means: asked once of the readers of single records.

So the compiled way and the way by the library have one definition of what a value means and of what
is refused. A value that a reader refuses is no error here: its records go the other way, and are
refused there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from inferspan import semconv
from inferspan_collector.batches import Bool, Float64, Int32, Int64, Strings
from inferspan_collector.decode.attributes import Attributes, RefusedRecord
from inferspan_collector.decode.label_records import read_class, read_field
from inferspan_collector.decode.packed_columns import json_names
from inferspan_collector.decode.predictions import read_operation, read_task

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
_REMEMBERED_VALUES_MAX: Final = 8
"""What is larger, or more, does not often come again."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """A reader does not take the value."""


Meaning = str | int | tuple[str | None, float] | None | _Refused


@dataclass(frozen=True, slots=True)
class Meanings:
    """What the distinct values of a column mean, by code."""

    each: tuple[Meaning, ...]
    """The text of each, None = absent; of features and classes, how many there are."""
    texts: tuple[str, ...] | None
    """The same where all are texts, and no two alike; else None."""

    @classmethod
    def of(cls, each: tuple[Meaning, ...]) -> Meanings:
        """See whether all are texts."""
        texts = tuple(meaning for meaning in each if isinstance(meaning, str))
        return cls(each, texts if len(set(texts)) == len(each) else None)


_NOTHING: Final = Meanings((), ())


def of_predictions(name: str, values: Sequence[bytes]) -> Meanings:
    """What the values of a prediction's attribute mean.

    Args:
        name: the attribute, or `SLICE`.
        values: each as an `AnyValue` is encoded.
    """
    return _meanings(_all_of_prediction, _one_of_prediction, name, values)


def of_labels(name: str, values: Sequence[bytes]) -> Meanings:
    """The same of a label's attribute; of its class, the text and the number it spells."""
    return _meanings(_all_of_label, _one_of_label, name, values)


def _meanings(
    all_of: Callable[[str, tuple[bytes, ...]], Meanings],
    one_of: Callable[[str, bytes], Meaning],
    name: str,
    values: Sequence[bytes],
) -> Meanings:
    if not values:
        return _NOTHING
    if len(values) > _REMEMBERED_VALUES_MAX or sum(map(len, values)) > _REMEMBERED_BYTES_MAX:
        return Meanings.of(tuple(one_of(name, raw) for raw in values))
    return all_of(name, tuple(values))


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


# Most columns hold the same few values, in the same order, in each request of a sender.
@lru_cache(_REMEMBERED)
def _all_of_prediction(name: str, values: tuple[bytes, ...]) -> Meanings:
    return Meanings.of(tuple(_one_of_prediction(name, raw) for raw in values))


@lru_cache(_REMEMBERED)
def _all_of_label(name: str, values: tuple[bytes, ...]) -> Meanings:
    return Meanings.of(tuple(_one_of_label(name, raw) for raw in values))


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
        classes = attributes.class_texts(name) or []
        complete = None not in classes and len(set(classes)) == len(classes)
        return len(classes) if complete else _Refused()
    return attributes.text(name)


def texts(
    codes: Int32, meanings: Meanings, absent: str | None = None
) -> tuple[Strings, Bool | None]:
    """A coded column as batches hold it.

    Args:
        codes: of each row, -1 = absent.
        meanings: of each code.
        absent: what rows say that name nothing.

    Returns:
        The column, and which rows hold a value that was refused; None = none does.
    """
    if meanings.texts is not None and absent is None:
        return Strings(codes, meanings.texts), None
    seen: dict[str, int] = {}
    nothing = -1 if absent is None else seen.setdefault(absent, 0)
    table = [
        seen.setdefault(meaning, len(seen))
        if isinstance(meaning, str)
        else _BAD
        if isinstance(meaning, _Refused)
        else nothing
        for meaning in meanings.each
    ]
    coded = np.array([*table, nothing], np.int32)[codes]
    return Strings(coded, tuple(seen)), coded == _BAD if _BAD in table else None


def counts(codes: Int32, meanings: Meanings) -> Int64:
    """How many entries each row must have; -1 where it names none, -2 where that was refused."""
    table = [meaning if isinstance(meaning, int) else _BAD for meaning in meanings.each]
    return np.array([*table, -1], np.int64)[codes]


def classes(
    codes: Int32, meanings: Meanings, values: Float64, valued: Bool
) -> tuple[Strings, Float64, Bool]:
    """What labels say is true.

    Args:
        codes: of their classes, -1 = no class.
        meanings: text and number of each.
        values: the numbers of the labels that say one.
        valued: which do.

    Returns:
        The truth as text and as number, and which rows hold a class that was refused.
    """
    seen: dict[str, int] = {}
    table, numbers = [], []
    for meaning in meanings.each:
        text, number = meaning if isinstance(meaning, tuple) else (None, math.nan)
        table.append(_BAD if text is None else seen.setdefault(text, len(seen)))
        numbers.append(number)
    coded = np.array([*table, -1], np.int32)[codes]
    actual = np.array([*numbers, math.nan])[codes]
    if valued.any():
        said = (semconv.class_text(value) or "" for value in values[valued].tolist())
        coded[valued] = [seen.setdefault(text, len(seen)) for text in said]
        actual[valued] = values[valued]
    return Strings(coded, tuple(seen)), actual, coded == _BAD


def any_of(masks: Iterable[Bool | None]) -> Bool | None:
    """Which rows any of the masks holds; None = no row."""
    held = [mask for mask in masks if mask is not None and mask.any()]
    return np.logical_or.reduce(held) if held else None
