"""Probabilities of classes, kept for the figures that need all of them: AUC, log loss, top k.

Those of a multiclass row are kept; of a binary one the score says the same. A row where one is NaN
or infinite has none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Bool, Float64, Int64, Strings, Texts

CLASSES_MAX: Final = 256
"""Probabilities of more classes are not kept: a row would take more than 2 kB."""
ENTRY_BYTES: Final = 11
_HEAD_BYTES: Final = 3
"""OTLP's encoding of a double in an array: 3 bytes of tags and lengths, then the double."""


def are_kept(task: str | None, classes: int) -> bool:
    """Whether the probabilities of a prediction of so many classes are kept."""
    return task == semconv.MULTICLASS and 2 <= classes <= CLASSES_MAX


def classes_text(classes: Sequence[str]) -> str:
    """Classes in the order of their columns, as one text."""
    return json.dumps(classes, ensure_ascii=False, separators=(",", ":"))


def classes_of(text: str) -> list[str]:
    """What `classes_text` was made of."""
    classes: list[str] = json.loads(text)
    return classes


def as_bytes(matrix: Float64) -> list[bytes]:
    """Each row of float64[N, K] as bytes, none for a row with a NaN or infinity."""
    complete: Bool = np.asarray(np.isfinite(matrix).all(axis=1))
    raw = matrix.astype("<f8").tobytes()
    size = 8 * matrix.shape[1]
    return [
        raw[row * size : (row + 1) * size] if known else b""
        for row, known in enumerate(complete.tolist())
    ]


def of_encoded(encoded: Texts, classes: Strings, kept: Bool) -> tuple[Strings, Texts]:
    """The columns of a batch, from arrays as OTLP encodes them.

    Args:
        encoded: the entries of each row, one behind the other; absent where it has none.
        classes: the classes of each row, as `classes_text` writes them.
        kept: which rows to keep them of; all of them have entries.

    Returns:
        (classes, probabilities), as batches hold them.
    """
    entries = encoded.data.reshape(-1, ENTRY_BYTES)[:, _HEAD_BYTES:]
    doubles = np.ascontiguousarray(entries).view("<f8").ravel()
    return of_doubles(doubles, encoded.lengths() // ENTRY_BYTES, classes, kept)


def of_doubles(
    doubles: Float64, counts: Int64, classes: Strings, kept: Bool
) -> tuple[Strings, Texts]:
    """The columns of a batch, from numbers that stand behind each other.

    Args:
        doubles: those of all rows.
        counts: int64[N]: how many of them each row has.
        classes: the classes of each row, as `classes_text` writes them.
        kept: bool[N]: which rows to keep them of; a row with a NaN or infinity is left out too.

    Returns:
        (classes, probabilities), as batches hold them.
    """
    kept = kept & (counts > 0) & ~_any_in(~np.isfinite(doubles), counts)
    taken = np.repeat(kept, counts)
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(np.where(kept, counts * 8, 0), out=offsets[1:])
    data = doubles[taken].view(np.uint8)
    codes = np.where(kept, classes.codes, -1).astype(np.int32)
    return Strings(codes, classes.values), Texts(data, offsets)


def _any_in(flags: Bool, counts: Int64) -> Bool:
    """Whether any of the flags of each row is set, rows of some flags behind each other."""
    row = np.repeat(np.arange(len(counts)), counts)
    found: Bool = np.bincount(row[flags], minlength=len(counts)) > 0
    return found
