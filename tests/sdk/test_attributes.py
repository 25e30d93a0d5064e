"""Values become attributes that every exporter can carry, within their limits."""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext
from PIL import Image

import hostile_values as hostile
from inferspan import semconv
from inferspan.attributes import TEXT_LENGTH_MAX, extent_of, row_count, text
from inferspan.features import ColumnTooLong, as_column, pack_features
from inferspan.json_values import json_object
from inferspan.tensors import (
    STATISTICS_ELEMENTS_MAX,
    STATISTICS_OBJECTS_MAX,
    statistics,
    tensor,
)


def described(value: object) -> tuple[object, ...]:
    return extent_of(value) or ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.zeros((3, 4), np.float32), ("3x4", "float32")),
        (np.zeros(0), ("0", "float64")),
        (np.zeros(2, [("a", "i4"), ("b", "f8")]), ("2", "void96")),
        (np.zeros((2, 3, 4)), ("2x3x4", "float64")),
        (np.zeros(()), ("", "float64")),
        (np.ma.masked_array([1, 2], [0, 1]), ("2", "int64")),
        (np.float64(1), ()),
        (pl.DataFrame({"a": [1], "b": ["x"]}), ("1x2", "table")),
        (pl.Series([1, 2]), ("2", "Int64")),
        (pl.DataFrame({"a": [1]}).lazy(), ()),
        (pa.table({"a": [1, 2]}), ("2x1", "table")),
        (pa.array([1, None]), ("2", "int64")),
        (pa.chunked_array([["x"]]), ("1", "string")),
        (jnp.zeros((2, 3), jnp.bfloat16), ("2x3", "bfloat16")),
        (scipy.sparse.csr_matrix((3, 4)), ("3x4", "float64")),
        (Image.new("RGB", (4, 3)), ("3x4x3", "RGB")),
        (Image.new("L", (4, 3)), ("3x4", "L")),
        (hostile.Point(1, 2), ("2", "hostile_values.Point")),
        (hostile.Order(1.0), ("2", "hostile_values.Order")),
        (hostile.Model(amount=1), ("2", "hostile_values.Model")),
        (hostile.HostileList([1, 2]), ("2", "hostile_values.HostileList")),
        (hostile.Kind.FRAUD, ()),
        (Decimal(1), ()),
        (pd.DataFrame({"a": [1], "b": ["x"]}), ("1x2", "table")),
        (pd.Series([1, 2]), ("2", "int64")),
        ([1, 2, 3], ("3", "list")),
        ({"a": 1}, ("1", "dict")),
        ("text", ("4", "str")),
        (b"bytes", ("5", "bytes")),
        (3, ()),
        (None, ()),
        (object(), ()),
    ],
)
def test_shape_and_type(value: object, expected: tuple[object, ...]) -> None:
    assert described(value) == expected


def test_what_answers_nothing_is_described_as_far_as_it_goes() -> None:
    assert described(hostile.Liar()) == (f"{2**40}x{2**40}", "object")
    assert described(hostile.HostileText("ab")) == ("2", "hostile_values.HostileText")
    for value in (hostile.Raising(), hostile.RaisingShape(), hostile.Nameless()):
        assert described(value) == ()


@given(hostile.anything)
def test_whatever_is_described_is_encoded_whole_and_the_same_again(value: object) -> None:
    written, left_out = json_object([("value", value)], semconv.JSON_BYTES_MAX)
    assert left_out == 0
    attributes = {
        **statistics(value),
        **tensor("inferspan.input.", "value", value, 1024),
        semconv.INPUT_VALUE: written,
    }
    found = tuple(attributes.get(key, "") for key in (semconv.STATE_SHAPE, semconv.STATE_DTYPE))
    assert len(str(found[0])) < 1024
    assert len(str(found[1])) <= TEXT_LENGTH_MAX
    assert found == (extent_of(value) or ("", ""))
    sent = ReadableSpan("predict m", SpanContext(1, 1, is_remote=False), attributes=attributes)
    body = encode_spans([sent]).SerializeToString()
    (span,) = TracesData.FromString(body).resource_spans[0].scope_spans[0].spans
    # What the encoder cannot write it leaves out, and says so in the log only.
    assert {pair.key for pair in span.attributes} == set(attributes)


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
        semconv.STATE_SHAPE: "2x2",
        semconv.STATE_DTYPE: "float32",
        semconv.STATE_NAN_COUNT: 1,
        semconv.STATE_MEAN: 2.0,
        semconv.STATE_STD: 1.0,
        semconv.STATE_MIN: 1.0,
        semconv.STATE_MAX: 3.0,
    }


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.integers(0, 2))
def test_statistics_are_those_of_exact_sums(numbers: list[float], missing: int) -> None:
    found = statistics(numbers + [math.nan] * missing)
    count = len(numbers)
    exact = [Fraction(number) for number in numbers]
    mean = sum(exact) / count
    # What as many additions may lose; few numbers are summed exactly.
    lost = math.ulp(1.0) * (2 if count + missing <= 64 else count)
    assert found[semconv.STATE_MEAN] == pytest.approx(
        float(mean), abs=lost * float(sum(map(abs, exact)) / count)
    )
    variance = sum((number - mean) ** 2 for number in exact) / count
    spread = float(max(exact) - min(exact))
    if count + missing == 1:
        assert semconv.STATE_STD not in found
        return
    assert found[semconv.STATE_STD] == pytest.approx(
        math.sqrt(variance), rel=1e-9, abs=1e-9 * spread + lost * max(map(abs, numbers))
    )
    assert (found[semconv.STATE_MIN], found[semconv.STATE_MAX]) == (min(numbers), max(numbers))
    assert found.get(semconv.STATE_NAN_COUNT, 0) == missing


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_of_one_number_the_mean_says_all(number: float) -> None:
    described = {semconv.STATE_SHAPE: "1x1", semconv.STATE_DTYPE: "float64"}
    assert statistics(np.array([[number]])) == {**described, semconv.STATE_MEAN: number}
    assert statistics(number) == {semconv.STATE_MEAN: number}


@pytest.mark.parametrize(("number", "missing"), [(math.nan, 3), (math.inf, 0)])
@pytest.mark.parametrize("of", [list, np.array])
def test_where_nothing_is_finite_nan_is_counted(number: float, missing: int, of: Any) -> None:
    found = statistics(of([number] * 3))
    assert found[semconv.STATE_NAN_COUNT] == missing
    assert semconv.STATE_MEAN not in found


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
        [0] * (STATISTICS_OBJECTS_MAX + 1),
        pd.Series(np.zeros(STATISTICS_OBJECTS_MAX + 1)),
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
        "long series",
    ],
)
def test_without_numbers_there_is_no_mean(value: object) -> None:
    assert semconv.STATE_MEAN not in statistics(value)


def test_statistics_of_other_containers() -> None:
    assert semconv.STATE_MEAN in statistics(np.zeros(STATISTICS_ELEMENTS_MAX, np.int8))
    assert semconv.STATE_MEAN in statistics([0] * STATISTICS_OBJECTS_MAX)
    assert statistics(jnp.array([1.0, 2.0]))[semconv.STATE_MEAN] == 1.5
    assert statistics(pl.Series([1, 2]))[semconv.STATE_MEAN] == 1.5
    assert statistics(pa.array([1, 2]))[semconv.STATE_SHAPE] == "2"
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
    for foreign in (jnp.arange(70, dtype=jnp.int32), pl.Series(range(70), dtype=pl.Int32)):
        packed = tensor("p.", "x", foreign, 1000)
        assert packed["p." + semconv.TENSOR_DATA] == np.arange(70, dtype="<i4").tobytes()
    # The columns of a table have names of their own, which a redactor may know.
    assert tensor("p.", "x", pd.DataFrame({"card": range(70)}), 1000) == {}


def test_columns() -> None:
    assert as_column(pd.Series([1, 2]), 5) == [1, 2]
    assert as_column(np.array(["a"]), 5) == ["a"]
    assert as_column((1, 2), 5) == [1, 2]
    assert as_column(pl.Series(["a", None]), 5) == ["a", None]
    assert as_column(pa.array([1, None]), 5) == [1, None]
    assert as_column(pa.chunked_array([["a"], ["b"]]), 5) == ["a", "b"]
    assert as_column(jnp.array([1.0, 2.0]), 5) == [1.0, 2.0]
    assert as_column(pd.Index(["a"]), 5) == ["a"]
    frame = pd.DataFrame({"a": [1]})
    for single in ("text", 1, None, np.zeros((2, 2)), np.float64(1), {"a": 1}, frame, jnp.ones(())):
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


@example({"a": -math.nan})
@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=2),
        st.one_of(st.floats(), st.text(max_size=3), st.integers(), st.booleans(), st.none()),
    )
)
def test_features_of_one_row_are_those_of_a_batch_of_one(features: dict[str, object]) -> None:
    columns = {name: [value] for name, value in features.items()}
    packed = pack_features(features, None, 6144)
    assert packed == pack_features(columns, 1, 6144) == pack_features(columns, None, 6144)


def test_features_that_cannot_be_packed_are_named() -> None:
    packed, dropped = pack_features({"a": object(), "b": [1, 2], "c": "x"}, None, 6144)
    assert packed == {
        semconv.FEATURE_CATEGORY_NAMES: '["c"]',
        semconv.FEATURE_CATEGORY_VALUES: ["x"],
    }
    assert dropped == [
        "feature a:neither number nor text; give one of them",
        "feature b:2 values of a call that is one prediction; give one",
    ]
    assert pack_features({"a": "x" * 24, "b": 1.5}, None, 23) == (
        {semconv.FEATURE_NAMES: '["b"]', semconv.FEATURE_DATA: struct.pack("<d", 1.5)},
        ["feature a:24 characters, at most 23 bytes are recorded; give a category"],
    )
    (said,) = pack_features({"a": [1.0] * 3}, 2, 6144)[1]
    assert said == "feature a:3 values for 2 rows; give one per row"
    assert pack_features({"a": [1.0] * 3}, 3, 23) == (
        {},
        ["features:24 bytes, at most 23 are recorded; name fewer, or call in smaller batches"],
    )
    assert pack_features({"a": 10**400}, None, 6144)[0][semconv.FEATURE_CATEGORY_VALUES]
