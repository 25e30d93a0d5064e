"""Rows of features, written and read as slowly as they are described; and those of a batch."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence

from inferspan_collector.batches import PredictionBatch

FEATURE_COLUMNS = ("feature_names", "category_names", "features")


def row_of(numbers: Sequence[float], texts: Sequence[str | None]) -> bytes:
    """A row, as `decode.compiled.feature_rows` says."""
    return b"".join([*map(_number, numbers), *map(_text, texts)])


def _number(number: float) -> bytes:
    for power in (2, 6):
        scaled = number * 10.0**power
        if abs(scaled) >= 2**50 or math.isnan(scaled):
            continue
        whole = round(scaled)
        # Python rounds a quotient of integers correctly, of any size.
        if whole / 10**power == number and (whole or math.copysign(1, number) > 0):
            if whole % 100 == 0:
                whole, power = whole // 100, power - 2
            word = 2 * whole if whole >= 0 else -2 * whole - 1
            content = word.to_bytes(8, "little").rstrip(b"\0")
            return bytes([power << 4 | len(content)]) + content
    content = struct.pack("<d", number).lstrip(b"\0")
    return bytes([7 << 4 | len(content)]) + content


def _text(text: str | None) -> bytes:
    content = (text or "").encode()
    head, left = [], len(content)
    while left >= 0x80:
        head.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*head, left]) + content


def values_of(row: bytes, numbers: int, texts: int) -> list[float | str | None]:
    """What a row holds; None = missing. It has to hold all of it, and nothing else."""
    source = iter(row)
    found: list[float | str | None] = [_read_number(source) for _ in range(numbers)]
    for _ in range(texts):
        length = shift = 0
        while (byte := next(source)) >= 0x80:
            length, shift = length | (byte & 0x7F) << shift, shift + 7
        length |= byte << shift
        found.append(bytes(next(source) for _ in range(length)).decode() or None)
    assert list(source) == []
    return found


def _read_number(source: Iterator[int]) -> float | None:
    head = next(source)
    content = bytes(next(source) for _ in range(head & 0xF))
    if head >> 4 == 7:
        number = float(struct.unpack("<d", content.rjust(8, b"\0"))[0])
        return None if math.isnan(number) else number
    word = int.from_bytes(content, "little")
    return (-(word + 1) // 2 if word % 2 else word // 2) / 10 ** (head >> 4)


def features_of(batch: PredictionBatch) -> list[dict[str, float | str | None]]:
    """The features of each row by name; None = missing."""
    found = []
    for row in range(len(batch)):
        numbers, texts = (
            json.loads(column.text(row) or "[]")
            for column in (batch.feature_names, batch.category_names)
        )
        column = batch.features
        content = column.data[column.offsets[row] : column.offsets[row + 1]].tobytes()
        values = values_of(content, len(numbers), len(texts))
        found.append(dict(zip([*numbers, *texts], values, strict=True)))
    return found
