"""Declared features as rows of bytes; what these hold, `decode.compiled.feature_rows` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue

from inferspan_collector.batches import Float64, Int64, Texts, UInt8
from inferspan_collector.decode.compiled import feature_rows as compiled

_REMEMBERED: Final = 1024
_FEW: Final = 8
"""Texts that are remembered together. Nothing else bounds how many there are, and many seldom
repeat as a whole."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRows:
    """The features of N rows that have as many numbers and as many texts."""

    numbers: Float64
    """float64[N, numbers], NaN = missing."""
    content: bytes
    """Where the texts stand."""
    begins: Int64
    """Where each begins in it, [N, texts]."""
    ends: Int64
    """Where each ends; where it begins = missing."""
    row_ends: Int64
    """Where each row ends in it, [N]."""


def array_bytes(texts: tuple[str | None, ...]) -> bytes:
    """Texts as an OTLP `ArrayValue`; None as the empty text."""
    return _remembered(texts) if len(texts) <= _FEW else _encoded(texts)


def _encoded(texts: tuple[str | None, ...]) -> bytes:
    values = [AnyValue(string_value=text or "") for text in texts]
    return ArrayValue(values=values).SerializeToString()


_remembered: Final = lru_cache(_REMEMBERED)(_encoded)


def written(values: Texts, category_values: Texts) -> Texts:
    """Features as rows, of which each has those of one prediction.

    Args:
        values: the numbers of each, float64 one behind the other.
        category_values: the texts of each, as the entries of an OTLP `ArrayValue`.
    """
    if not len(values.data) and not len(category_values.data):
        return Texts.constant(None, len(values))
    numbers, texts = _unwritable(values.data), _unwritable(category_values.data)
    return Texts(
        *compiled.encode(
            numbers,
            values.offsets[:-1],
            values.lengths(),
            texts,
            category_values.offsets[:-1],
            category_values.lengths(),
        )
    )


def read(rows: Sequence[bytes], count: int, numbers: int, texts: int) -> FeatureRows:
    """What rows hold; some 5 ns a number.

    Args:
        rows: parts of them, in order.
        count: how many rows these are.
        numbers: of each row.
        texts: of each row.

    Raises:
        ValueError: they are not so many.
    """
    content = b"".join((*rows, bytes(compiled.PADDING)))
    data = np.frombuffer(content, np.uint8)
    values, begins, ends, row_ends = compiled.decode(data, count, numbers, texts)
    if count and row_ends[-1] != len(content) - compiled.PADDING:
        raise ValueError(
            f"{len(content) - compiled.PADDING} bytes of features are not {count} rows of "
            f"{numbers} numbers and {texts} texts"
        )
    return FeatureRows(values, content, begins, ends, row_ends)


def _unwritable(data: UInt8) -> UInt8:
    """As requests are: what is compiled is so for one kind of array."""
    view = data.view()
    view.flags.writeable = False
    return view
