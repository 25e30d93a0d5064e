"""Declared features are kept in few bytes, and come back bit for bit."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feature_rows import row_of
from inferspan_collector.batches import Texts
from inferspan_collector.decode import feature_rows

SUBNORMAL = 5e-324
doubles = st.integers(0, 2**64 - 1).map(
    lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]
)
decimals = st.builds(
    lambda digits, power: digits / 10**power, st.integers(-(2**60), 2**60), st.integers(0, 8)
)
numbers = doubles | decimals | st.floats(width=32) | st.floats()
texts = (
    st.none()
    | st.text(min_size=1, max_size=3)
    | st.sampled_from(["x" * 127, "ä" * 64, "x" * 20_000])
)
tables = st.tuples(st.integers(0, 3), st.integers(0, 3)).flatmap(
    lambda wide: st.lists(
        st.tuples(
            st.lists(numbers, min_size=wide[0], max_size=wide[0]),
            st.lists(texts, min_size=wide[1], max_size=wide[1]),
        ),
        max_size=4,
    )
)
Table = list[tuple[list[float], list[str | None]]]


def written(table: Table) -> Texts:
    return feature_rows.written(
        Texts.of_bytes([struct.pack(f"<{len(some)}d", *some) for some, _ in table]),
        Texts.of_bytes([feature_rows.array_bytes(tuple(some)) for _, some in table]),
    )


def bits(values: list[list[float]]) -> list[bytes]:
    return [struct.pack(f"<{len(row)}d", *row) for row in values]


@given(tables)
@example([([0.0, -0.0, math.nan, math.inf, -math.inf, SUBNORMAL], [])])
@example([([0.1, 1.0, -1.0, 99.99, 0.001, 1e-6, 1e-7, 1e15, 2.0**50, 2.0**50 / 100], [])])
@example([([1.005, 4.35, 1.15, 0.285, 1.1 * 1.1, 9007199254740993.0, 0.1 + 0.2], [])])
def test_any_features_come_back_bit_for_bit_from_the_bytes_described(table: Table) -> None:
    rows = written(table)
    content = rows.data.tobytes()
    assert content == b"".join(row_of(*row) for row in table)
    assert rows.lengths().tolist() == [len(row_of(*row)) for row in table]
    wide = (len(table[0][0]), len(table[0][1])) if table else (0, 0)
    found = feature_rows.read([content], len(table), *wide)
    assert bits(found.numbers.tolist()) == bits([some for some, _ in table])
    assert [
        [found.content[begin:end].decode() or None for begin, end in zip(*places, strict=True)]
        for places in zip(found.begins.tolist(), found.ends.tolist(), strict=True)
    ] == [some for _, some in table]
    assert found.row_ends.tolist() == rows.offsets[1:].tolist()


@pytest.mark.parametrize(
    ("number", "size"),
    [
        (0.0, 1),
        (1.0, 2),
        (12.34, 3),
        (999.99, 4),
        (-0.5, 2),
        (52.520008, 5),
        (math.nan, 3),
        (float(np.float32(0.1)), 6),
        (1 / 3, 9),
        (1_795_000_000_000.0, 7),
    ],
)
def test_what_has_few_digits_takes_few_bytes(number: float, size: int) -> None:
    assert len(written([([number], [])]).data) == size


@given(table=tables, cut=st.integers(1, 9), data=st.data())
def test_damaged_rows_are_refused_or_read_within_their_bytes(
    table: Table, cut: int, data: st.DataObject
) -> None:
    content = bytearray(written(table).data.tobytes())
    wide = (len(table[0][0]), len(table[0][1])) if table else (0, 0)
    if not content:
        return
    with pytest.raises(ValueError, match="bytes of features are not"):
        feature_rows.read([content[:-cut]], len(table), *wide)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    try:
        found = feature_rows.read([bytes(content)], len(table), *wide)
    except ValueError:
        return
    assert (found.ends <= len(content)).all()
    assert (found.begins <= found.ends).all()
