"""A batch call is one span with columns, one entry per row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

BINARY = "binary_classification"


def test_a_batch_is_one_span_with_columns(spans: CapturedSpans) -> None:
    @inferspan.predict(
        model="m",
        task=BINARY,
        positive=1,
        prediction_id="order_id",
        slices=["country", "plan"],
        features=["amount", "channel"],
    )
    def score(df: pd.DataFrame) -> np.ndarray:
        answer = (df["amount"] > 2).astype(int).to_numpy()
        df["amount"] = 0.0  # what happens during the call must not reach the span
        return answer

    frame = pd.DataFrame(
        {
            "order_id": ["a", "b", "c"],
            "amount": [1.0, math.nan, 3.0],
            "country": ["DE", "NL", None],
            "plan": ["pro", "pro", "pro"],
            "channel": ["web", "app", "web"],
        }
    )
    assert score(frame).tolist() == [0, 0, 1]
    (span,) = spans
    attributes = dict(span.attributes or {})
    assert attributes[semconv.PREDICTION_COUNT] == 3
    assert attributes[semconv.PREDICTION_IDS] == ("a", "b", "c")
    assert attributes[semconv.PREDICTION_ID] == f"{1:032x}"
    assert attributes[semconv.OUTPUT_CLASSES_PREDICTED] == ("0", "0", "1")
    assert attributes[semconv.SLICE_PREFIX + "country"] == ("DE", "NL", "")
    assert attributes[semconv.SLICE_PREFIX + "plan"] == "pro"
    assert attributes[semconv.INPUT_SHAPE] == "3x5"
    assert attributes[semconv.INPUT_DTYPE] == "table"
    data = np.frombuffer(attributes[semconv.FEATURE_DATA], "<f8")  # type: ignore[call-overload]
    np.testing.assert_array_equal(data, [1.0, math.nan, 3.0])
    assert attributes[semconv.FEATURE_CATEGORY_VALUES] == ("web", "app", "web")


@pytest.mark.parametrize(("rows", "recorded"), [(5_041, True), (5_042, False)])
def test_features_of_a_batch_are_recorded_up_to_a_limit(
    spans: CapturedSpans, rows: int, recorded: bool
) -> None:
    names = [f"f{number}" for number in range(12)]
    frame = pd.DataFrame(np.arange(rows * 12.0).reshape(rows, 12), columns=names)
    frame["kind"] = "a"
    model = type("Model", (), {"predict": lambda self, X: np.zeros(len(X))})()
    wrapped = inferspan.wrap(model, model="m", task="regression", features=[*names, "kind"])
    wrapped.predict(frame)
    attributes = dict(spans[0].attributes or {})
    assert attributes[semconv.PREDICTION_COUNT] == rows
    if recorded:
        data = np.frombuffer(attributes[semconv.FEATURE_DATA], "<f8")  # type: ignore[call-overload]
        np.testing.assert_array_equal(data, frame[names].to_numpy().ravel())
        assert attributes[semconv.FEATURE_CATEGORY_VALUES] == ("a",) * rows
        assert semconv.CAPTURE_DROPPED not in attributes
    else:
        assert semconv.FEATURE_DATA not in attributes
        (said,) = attributes[semconv.CAPTURE_DROPPED]  # type: ignore[misc]
        assert said == (
            "features:more than 65,536 values of a call; name fewer, or call in smaller batches"
        )


def test_a_batch_without_ids_shares_one(spans: CapturedSpans) -> None:
    inferspan.predict(model="m", task="regression")(lambda X: X[:, 0])(np.ones((4, 2)))
    attributes = spans[0].attributes or {}
    assert attributes[semconv.PREDICTION_COUNT] == 4
    assert attributes[semconv.PREDICTION_ID] == f"{1:032x}"
    assert semconv.PREDICTION_IDS not in attributes


def test_a_batch_of_one_reads_like_a_single_prediction(spans: CapturedSpans) -> None:
    frame = pd.DataFrame({"order_id": ["a"], "amount": [2.0]})
    inferspan.predict(model="m", task="regression", prediction_id="df.order_id")(
        lambda df: df["amount"].to_numpy()
    )(frame)
    attributes = spans[0].attributes or {}
    assert attributes[semconv.PREDICTION_ID] == "a"
    assert attributes[semconv.OUTPUT_VALUE] == 2.0
    assert semconv.PREDICTION_COUNT not in attributes


def test_a_failed_batch_is_still_its_rows(spans: CapturedSpans) -> None:
    @inferspan.predict(model="m", task="regression", prediction_id="ids")
    def score(ids: list[str]) -> list[float]:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        score(["a", "b"])
    attributes = spans[0].attributes or {}
    assert attributes[semconv.PREDICTION_COUNT] == 2
    assert attributes[semconv.PREDICTION_IDS] == ("a", "b")
    assert attributes[semconv.ERROR_TYPE] == "OSError"


def test_ids_that_do_not_fit_the_outputs_are_left_out(spans: CapturedSpans) -> None:
    inferspan.predict(model="m", task="regression", prediction_id="ids")(
        lambda ids: [1.0, 2.0, 3.0]
    )(["a", "b"])
    attributes = spans[0].attributes or {}
    assert semconv.PREDICTION_IDS not in attributes
    assert attributes[semconv.PREDICTION_COUNT] == 3
    assert attributes[semconv.CAPTURE_DROPPED] == (
        "prediction_id:2 ids for 3 outputs; give as many",
    )


TWO_ROWS = {"id": ["a", "b"], "site": ["x", "y"], "amount": [1.0, None]}
TABLES = {
    "pandas": pd.DataFrame(TWO_ROWS),
    "polars": pl.DataFrame(TWO_ROWS),
    "Arrow table": pa.table(TWO_ROWS),
    "Arrow record batch": pa.RecordBatch.from_pydict(TWO_ROWS),
    "arrays of one column": {
        "id": np.array([["a"], ["b"]]),
        "site": pd.DataFrame({"site": ["x", "y"]}).to_numpy(),
        "amount": np.array([[1.0], [math.nan]]),
    },
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_of_a_table_are_read_by_their_names(spans: CapturedSpans, table: Any) -> None:
    @inferspan.predict(
        model="m", task="regression", prediction_id="id", slices=["site"], features=["amount"]
    )
    def score(df):  # type: ignore[no-untyped-def]  # as in a notebook
        return [0.5, 0.25]

    score(table)
    attributes = spans[0].attributes or {}
    assert semconv.CAPTURE_DROPPED not in attributes
    assert attributes[semconv.PREDICTION_IDS] == ("a", "b")
    assert attributes[semconv.SLICE_PREFIX + "site"] == ("x", "y")
    numbers = np.frombuffer(attributes[semconv.FEATURE_DATA], "<f8")  # type: ignore[call-overload]
    np.testing.assert_array_equal(numbers, [1.0, math.nan])


def test_columns_that_an_arrow_table_lacks_or_has_twice_are_said(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    table = pa.table([[1.0], [2.0], [3.0]], names=["amount", "count", "count"])
    options: dict[str, Any] = {"model": "twice", "task": "regression"}
    inferspan.predict(**options, features=["amount", "count", "size"])(lambda table: 0.5)(table)
    attributes = spans[0].attributes or {}
    assert attributes[semconv.FEATURE_NAMES] == '["amount"]'
    assert attributes[semconv.CAPTURE_DROPPED] == (
        "feature size:'table' has no column 'size'",
        "feature count:neither number nor text; give one of them",
    )
    assert "('table' has amount, count, count)" in caplog.text


def test_a_long_slice_is_cut(spans: CapturedSpans) -> None:
    @inferspan.predict(model="m", task="regression", slices=["site", "plan"])
    def score(site: list[str], plan: str) -> list[float]:
        return [1.0, 2.0]

    score(["x" * 128, "x" * 129], "y" * 200)
    attributes = spans[0].attributes or {}
    assert attributes[semconv.SLICE_PREFIX + "site"] == ("x" * 128, "x" * 127 + "…")
    assert attributes[semconv.SLICE_PREFIX + "plan"] == "y" * 127 + "…"


def test_a_batch_may_be_an_arrow_or_polars_column(spans: CapturedSpans) -> None:
    @inferspan.predict(
        model="m", task="regression", prediction_id="ids", slices=["site"], features=["amount"]
    )
    def score(ids: object, site: object, amount: object) -> object:
        return amount

    score(pa.array(["a", "b"]), pl.Series(["x", "y"]), pa.chunked_array([[1.0], [None]]))
    attributes = spans[0].attributes or {}
    assert attributes[semconv.PREDICTION_IDS] == ("a", "b")
    assert attributes[semconv.SLICE_PREFIX + "site"] == ("x", "y")
    numbers = np.frombuffer(attributes[semconv.FEATURE_DATA], "<f8")  # type: ignore[call-overload]
    np.testing.assert_array_equal(numbers, [1.0, math.nan])
    np.testing.assert_array_equal(attributes[semconv.OUTPUT_VALUES], [1.0, math.nan])


def test_each_of_several_answers_is_a_prediction_where_each_is_declared(
    spans: CapturedSpans,
) -> None:
    """One call of the model, two names: truths of the one are not held against the other."""
    called = []

    def of(model: str, at: int) -> Any:
        return inferspan.predict(
            model=model, task="regression", prediction_id="keys", output=lambda told: told[:, at]
        )

    @of("price", 0)
    @of("volume", 1)
    def ask(keys: list[str], rows: np.ndarray) -> np.ndarray:
        called.append(len(rows))
        return np.column_stack([rows, -rows])

    ask(["a", "b"], np.array([1.0, 2.0]))
    found = {name: dict(spans.prediction(name).attributes or {}) for name in ("price", "volume")}
    assert found["price"][semconv.OUTPUT_VALUES] == (1.0, 2.0)
    assert found["volume"][semconv.OUTPUT_VALUES] == (-1.0, -2.0)
    assert {each[semconv.PREDICTION_IDS] for each in found.values()} == {("a", "b")}
    assert called == [2]
