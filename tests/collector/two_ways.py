"""One body read both ways: the compiled one, and record by record by the protobuf library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from feature_rows import FEATURE_COLUMNS, features_of
from inferspan_collector.batches import (
    Decoded,
    LabelBatch,
    NamedBatch,
    PredictionBatch,
    StageBatch,
)
from inferspan_collector.decode import MalformedRequest, decode_logs, decode_traces

Decode = Callable[..., Decoded]
WAYS: tuple[Decode, ...] = (decode_traces, decode_logs)


def facts(decoded: Decoded) -> object:
    """All of a decoded request but its size, comparable (NaN equals NaN)."""
    return (
        _columns(decoded.predictions),
        _columns(decoded.labels),
        _columns(decoded.stages),
        None if decoded.named is None else _columns(decoded.named),
        decoded.slim_records,
        decoded.refused,
        decoded.ignored,
        decoded.clock_skewed,
        decoded.mapped,
    )


def _columns(batch: PredictionBatch | LabelBatch | NamedBatch | StageBatch) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(batch, PredictionBatch):
        found["features"] = features_of(batch)
    for name in type(batch).__slots__:
        if name in FEATURE_COLUMNS:
            continue
        column = getattr(batch, name)
        if name == "slices":
            # A slice that no row has says nothing.
            slices = {key: value.objects().tolist() for key, value in column.items()}
            found[name] = {key: texts for key, texts in slices.items() if any(texts)}
            continue
        entries = (column if isinstance(column, np.ndarray) else column.objects()).tolist()
        dtype = column.dtype if isinstance(column, np.ndarray) else type(column)
        found[name] = (
            dtype,
            [
                "NaN" if isinstance(entry, float) and math.isnan(entry) else entry
                for entry in entries
            ],
        )
    return found


def outcome(decode: Decode, body: bytes, received_ns: int, *, compiled: bool) -> object:
    """What a body gives: its facts, what was announced of its rows; or why it is none."""
    announced = []
    try:
        decoded = decode(
            body, json=False, received_ns=received_ns, reserve=announced.append, compiled=compiled
        )
    except MalformedRequest as error:
        return str(error)
    return facts(decoded), sum(announced)


def assert_same(decode: Decode, body: bytes, received_ns: int) -> None:
    """Both ways give the same, or refuse with the same words."""
    expected = outcome(decode, body, received_ns, compiled=False)
    assert outcome(decode, body, received_ns, compiled=True) == expected
