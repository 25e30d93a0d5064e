"""Values become attributes that every exporter can carry, within their limits."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan import semconv
from inferspan.attributes import describe, row_count, text
from inferspan.features import ColumnTooLong, as_column, pack_features
from inferspan.tensors import STATISTICS_ELEMENTS_MAX, statistics, tensor


def described(value: object) -> tuple[object, ...]:
    return tuple(describe(value, "size", "shape", "dtype").values())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.zeros((3, 4), np.float32), (12, "3x4", "float32")),
        (np.zeros(0), (0, "0", "float64")),
        (np.zeros(2, [("a", "i4"), ("b", "f8")]), (2, "2", "void96")),
        (pd.DataFrame({"a": [1], "b": ["x"]}), (2, "1x2", "table")),
        (pd.Series([1, 2]), (2, "2", "int64")),
        ([1, 2, 3], (3, "3", "list")),
        ({"a": 1}, (1, "1", "dict")),
        ("text", (4, "4", "str")),
        (b"bytes", (5, "5", "bytes")),
        (3, ()),
        (None, ()),
        (object(), ()),
    ],
)
def test_size_shape_and_type(value: object, expected: tuple[object, ...]) -> None:
    assert described(value) == expected


def test_rows_are_counted_only_where_evident() -> None:
    assert row_count(np.zeros((3, 4))) == 3
    assert row_count(pd.DataFrame({"a": [1, 2]})) == 2
    assert row_count(np.zeros(3)) is None
    assert row_count([[1], [2]]) is None


@given(st.text())
def test_text_is_valid_utf8_and_bounded(value: str) -> None:
    written = text(value + "\ud800", 8)
    written.encode("utf-8")
    assert len(written) <= 8


def test_statistics_are_those_of_the_finite_elements() -> None:
    found = statistics(np.array([[1.0, math.nan], [3.0, math.inf]], np.float32))
    assert found == {
        semconv.STATE_COUNT: 4,
        semconv.STATE_SHAPE: "2x2",
        semconv.STATE_DTYPE: "float32",
        semconv.STATE_NAN_COUNT: 1,
        semconv.STATE_MEAN: 2.0,
        semconv.STATE_STD: 1.0,
        semconv.STATE_MIN: 1.0,
        semconv.STATE_MAX: 3.0,
    }


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_statistics_agree_with_numpy(numbers: list[float]) -> None:
    found = statistics(numbers)
    array = np.array(numbers)
    assert found[semconv.STATE_MEAN] == array.mean()
    assert found[semconv.STATE_STD] == array.std()
    assert (found[semconv.STATE_MIN], found[semconv.STATE_MAX]) == (array.min(), array.max())


@pytest.mark.parametrize(
    "value",
    [
        [],
        np.array([math.nan]),
        np.array(["a"]),
        ["a"],
        {"a": 1},
        "text",
        object(),
        np.zeros(STATISTICS_ELEMENTS_MAX + 1, np.int8),
        [0] * (STATISTICS_ELEMENTS_MAX + 1),
    ],
    ids=[
        "empty",
        "nan",
        "text array",
        "texts",
        "dict",
        "text",
        "object",
        "long array",
        "long list",
    ],
)
def test_without_numbers_there_is_no_mean(value: object) -> None:
    assert semconv.STATE_MEAN not in statistics(value)


def test_statistics_of_other_containers() -> None:
    assert statistics(2.0)[semconv.STATE_MEAN] == 2.0
    assert statistics(pd.Series([1, 2]))[semconv.STATE_MEAN] == 1.5
    assert statistics(pd.DataFrame({"a": [1.0], "b": [2.0]}))[semconv.STATE_MEAN] == 1.5
    # No warning of numpy, which would be an error here: float16 sums beyond its range.
    assert statistics(np.full(100, 60_000, np.float16))[semconv.STATE_MEAN] == 60_000.0
    assert statistics(np.array([1e308, 1e308]))[semconv.STATE_MEAN] == math.inf


def test_tensors_are_packed_within_the_budget() -> None:
    array = np.arange(70, dtype=">i4").reshape(7, 10)
    assert tensor("p.", "x", array, 1000) == {
        "p." + semconv.TENSOR_NAME: "x",
        "p." + semconv.TENSOR_DATATYPE: "INT32",
        "p." + semconv.TENSOR_SHAPE: [7, 10],
        "p." + semconv.TENSOR_DATA: array.astype("<i4").tobytes(),
    }
    assert tensor("p.", "x", array, 279) == {}
    assert tensor("p.", "x", np.arange(64), 1000) == {}
    assert tensor("p.", "x", np.array(["a"] * 70), 1000) == {}
    assert tensor("p.", "x", list(range(70)), 1000) == {}


def test_columns() -> None:
    assert as_column(pd.Series([1, 2]), 5) == [1, 2]
    assert as_column(np.array(["a"]), 5) == ["a"]
    assert as_column((1, 2), 5) == [1, 2]
    for single in ("text", 1, None, np.zeros((2, 2)), np.float64(1), {"a": 1}):
        assert as_column(single, 5) is None
    with pytest.raises(ColumnTooLong, match="6 rows, at most 5"):
        as_column(range(6) and [0] * 6, 5)


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.floats(), st.integers(-9, 9)), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_numeric_features_come_back_as_they_went(columns: list[list[float | None]]) -> None:
    packed, dropped = pack_features({f"f{i}": c for i, c in enumerate(columns)}, 3, 6144)
    assert dropped == []
    assert json.loads(str(packed[semconv.FEATURE_NAMES])) == [f"f{i}" for i in range(len(columns))]
    data = packed[semconv.FEATURE_DATA]
    assert isinstance(data, bytes)
    numbers = struct.unpack(f"<{3 * len(columns)}d", data)
    expected = [math.nan if c[row] is None else c[row] for row in range(3) for c in columns]
    np.testing.assert_array_equal(numbers, np.array(expected, float))


def test_features_that_cannot_be_packed_are_named() -> None:
    packed, dropped = pack_features({"a": object(), "b": [1, 2], "c": "x"}, None, 6144)
    assert packed == {
        semconv.FEATURE_CATEGORY_NAMES: '["c"]',
        semconv.FEATURE_CATEGORY_VALUES: ["x"],
    }
    assert dropped == ["feature a:neither number nor text", "feature b:neither number nor text"]
    assert pack_features({"a": [1.0] * 3}, 2, 6144)[1] == ["feature a:3 values for 2 rows"]
    assert pack_features({"a": [1.0] * 3}, 3, 23) == (
        {},
        ["features:24 bytes, at most 23 are recorded"],
    )
    assert pack_features({"a": 10**400}, None, 6144)[0][semconv.FEATURE_CATEGORY_VALUES]


def test_a_size_beyond_64_bits_is_text() -> None:
    class Sparse:
        shape = (2**40, 2**40)

    assert describe(Sparse(), "size", "shape", "dtype")["size"] == str(2**80)
