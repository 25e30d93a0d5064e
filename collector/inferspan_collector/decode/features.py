"""The declared features of predictions: checked for their lengths, and kept as they came.

What is wrong with them costs the prediction nothing; it is said, and counted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import PredictionBatch, Refusal, Strings, Texts
from inferspan_collector.decode import feature_rows
from inferspan_collector.decode.attributes import Attributes, RefusedRecord
from inferspan_collector.decode.columns import Features, PredictionRows
from inferspan_collector.decode.outputs import disagree
from inferspan_collector.decode.packed_columns import (
    coded,
    floats,
    json_names,
    names_text,
    required,
    width_of,
)

_DOUBLE: tuple[int, ...] = (8,)


def with_span_features(
    rows: PredictionRows, attributes: Attributes, refused: list[Refusal]
) -> PredictionRows:
    """The rows of a span with its features; without them, and said, where they are wrong."""
    try:
        return replace(rows, features=_of_span(attributes, len(rows)))
    except RefusedRecord as fault:
        refused.append(_said(fault))
        return rows


def with_record_features(
    batch: PredictionBatch, attributes: Attributes, refused: list[Refusal]
) -> PredictionBatch:
    """The rows of a slim record with its features; without them, and said, where they are wrong."""
    try:
        return _with_columns(batch, attributes)
    except RefusedRecord as fault:
        refused.append(_said(fault))
        return batch


def _said(fault: RefusedRecord) -> Refusal:
    message = f"{fault}; the predictions were taken without these features"
    return Refusal("features", fault.reason, message)


def _of_span(attributes: Attributes, rows: int) -> Features:
    """The features of a prediction span of so many rows.

    Raises:
        RefusedRecord: they are not as many as their names say.
    """
    names = category_names = None
    values: list[bytes] = []
    category_values: list[bytes] = []
    if semconv.FEATURE_NAMES in attributes or semconv.FEATURE_DATA in attributes:
        named = json_names(attributes, semconv.FEATURE_NAMES)
        raw = required(attributes, semconv.FEATURE_DATA)
        width_of(semconv.FEATURE_DATA, raw, len(named) * rows, _DOUBLE)
        names, width = names_text(named), 8 * len(named)
        values = [raw[at : at + width] for at in range(0, width * rows, width)] if width else []
    name = semconv.FEATURE_CATEGORY_VALUES
    if semconv.FEATURE_CATEGORY_NAMES in attributes or name in attributes:
        named = json_names(attributes, semconv.FEATURE_CATEGORY_NAMES)
        texts = attributes.class_texts(name) or []
        if len(texts) != len(named) * rows:
            rule = f"{len(named)} features of {rows} rows need {len(named) * rows}"
            raise disagree(name, len(texts), rule)
        category_names, width = names_text(named), len(named)
        category_values = [
            feature_rows.array_bytes(tuple(texts[at : at + width]))
            for at in range(0, width * rows, width or 1)
        ]
    return Features(names, values, category_names, category_values)


def _with_columns(batch: PredictionBatch, attributes: Attributes) -> PredictionBatch:
    """The rows of a slim record with its features.

    Raises:
        RefusedRecord: they are not as many as their names say.
    """
    rows = len(batch)
    names: str | None = None
    values = Texts.constant(None, rows)
    if semconv.RECORD_FEATURE_NAMES in attributes or semconv.RECORD_FEATURE_DATA in attributes:
        named = json_names(attributes, semconv.RECORD_FEATURE_NAMES)
        required(attributes, semconv.RECORD_FEATURE_DATA)
        numbers = floats(attributes, semconv.RECORD_FEATURE_DATA, len(named) * rows)
        if numbers is not None and len(numbers):
            names = names_text(named)
            by_row = np.ascontiguousarray(numbers.reshape(len(named), rows).T)
            offsets = np.arange(rows + 1, dtype=np.int64) * 8 * len(named)
            values = Texts(by_row.view(np.uint8).reshape(-1), offsets)
    columns = _categories(attributes, rows)
    category_names = names_text(tuple(columns)) if columns else None
    arrays = [feature_rows.array_bytes(texts) for texts in zip(*columns.values(), strict=True)]
    return replace(
        batch,
        feature_names=Strings.constant(names, rows),
        category_names=Strings.constant(category_names, rows),
        features=feature_rows.written(
            values, Texts.of_bytes(arrays) if arrays else Texts.constant(None, rows)
        ),
    )


def _categories(attributes: Attributes, rows: int) -> dict[str, list[str | None]]:
    prefixes = semconv.RECORD_CATEGORY_PREFIX, semconv.RECORD_CATEGORY_CODES_PREFIX
    keys = {
        name.removeprefix(prefix)
        for name in attributes
        for prefix in prefixes
        if name.startswith(prefix)
    }
    columns = {}
    for key in sorted(keys):
        name, codes_name = (prefix + key for prefix in prefixes)
        column = coded(attributes, codes_name, rows, name, attributes.class_texts(name))
        if column is not None:
            columns[key] = column.strings().objects().tolist()
    return columns
