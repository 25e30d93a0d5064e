"""The features of a batch's rows, as tests compare them."""

from __future__ import annotations

import json

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import ArrayValue

from inferspan_collector.batches import PredictionBatch

FEATURE_COLUMNS = ("feature_names", "feature_values", "category_names", "category_values")


def features_of(batch: PredictionBatch) -> list[dict[str, float | str | None]]:
    """The features of each row by name; None = missing."""
    found: list[dict[str, float | str | None]] = []
    for row in range(len(batch)):
        numbers, texts = (
            json.loads(column.text(row) or "[]")
            for column in (batch.feature_names, batch.category_names)
        )
        raw, array = (
            column.data[column.offsets[row] : column.offsets[row + 1]].tobytes()
            for column in (batch.feature_values, batch.category_values)
        )
        values = [None if x != x else x for x in np.frombuffer(raw, "<f8").tolist()]
        words = [each.string_value or None for each in ArrayValue.FromString(array).values]
        found.append(dict(zip([*numbers, *texts], [*values, *words], strict=True)))
    return found
