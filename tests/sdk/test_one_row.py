"""A call of one row is one prediction: what is declared of it counts, however the row is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans, capture_spans

BINARY = "binary_classification"
ROW = {"id": "o-1", "amount": 1.5, "count": 3, "channel": "web", "land": "NL"}
OPTIONS: dict[str, Any] = {
    "model": "fraud",
    "task": BINARY,
    "positive": "1",
    "prediction_id": "id",
    "slices": ["land"],
    "features": ["amount", "count", "channel"],
}

TABLES: dict[str, Any] = {
    "pandas": pd.DataFrame([ROW]),
    "slice of a longer frame": pd.DataFrame([ROW, ROW])[:1],
    "polars": pl.DataFrame([ROW]),
    "Arrow table": pa.Table.from_pylist([ROW]),
    "Arrow record batch": pa.RecordBatch.from_pylist([ROW]),
    "mapping of Arrow arrays": {name: pa.array([value]) for name, value in ROW.items()},
    "mapping of lists": {name: [value] for name, value in ROW.items()},
    "mapping of arrays": {name: np.array([value]) for name, value in ROW.items()},
    "mapping of arrays of one column": {n: np.array([[value]]) for n, value in ROW.items()},
    "mapping of tuples": {name: (value,) for name, value in ROW.items()},
    "mapping": ROW,
}
ANSWERS: dict[str, Any] = {
    "column of scores": np.array([0.75]),
    "list": [0.75],
    "number": 0.75,
    "series": pd.Series([0.75], index=[7]),
}


@pytest.fixture(params=["span", "record"])
def what_is_said(request: pytest.FixtureRequest) -> Iterator[Callable[[], dict[str, Any]]]:
    """Id, slices and features of the one prediction, of its span or of its slim record."""
    if request.param == "span":
        with capture_spans() as spans:
            yield lambda: said_by_span(spans)
    else:
        with capture_spans(sampler=ALWAYS_OFF) as spans:
            yield lambda: said_by_record(spans)


def said_by_span(spans: CapturedSpans) -> dict[str, Any]:
    found = dict(spans.prediction().attributes or {})
    assert semconv.CAPTURE_DROPPED not in found
    return {
        "id": found[semconv.PREDICTION_ID],
        "land": found.get(semconv.SLICE_PREFIX + "land"),
        "names": found.get(semconv.FEATURE_NAMES),
        "numbers": numbers(found.get(semconv.FEATURE_DATA), "<f8"),
        "channel": found.get(semconv.FEATURE_CATEGORY_VALUES),
    }


def said_by_record(spans: CapturedSpans) -> dict[str, Any]:
    (record,) = spans.records
    found = dict(record.attributes or {})
    assert found[semconv.RECORD_COUNT] == 1
    (given,) = found[semconv.RECORD_IDS]
    slices = found.get(semconv.RECORD_SLICE_PREFIX + "land")
    return {
        "id": given,
        "land": slices[0] if isinstance(slices, tuple) else slices,
        "names": found.get(semconv.RECORD_FEATURE_NAMES),
        "numbers": numbers(found.get(semconv.RECORD_FEATURE_DATA), "<f4"),
        "channel": found.get(semconv.RECORD_CATEGORY_PREFIX + "channel"),
    }


def numbers(packed: Any, kind: str) -> list[float] | None:
    return None if packed is None else np.frombuffer(packed, kind).tolist()


EXPECTED = {
    "id": "o-1",
    "land": "NL",
    "names": '["amount","count"]',
    "numbers": [1.5, 3.0],
    "channel": ("web",),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_of_a_table_of_one_row(
    table: Any, answer: Any, what_is_said: Callable[[], dict[str, Any]]
) -> None:
    inferspan.predict(**OPTIONS)(lambda df: answer)(table)
    assert what_is_said() == EXPECTED


@pytest.mark.parametrize("listed", [list, tuple, np.array, pd.Series, pl.Series, pa.array])
def test_arguments_that_are_columns_of_one_row(
    listed: Any, what_is_said: Callable[[], dict[str, Any]]
) -> None:
    @inferspan.predict(**OPTIONS)
    def score(id: Any, amount: Any, count: Any, channel: Any, land: Any) -> np.ndarray:
        return np.array([0.75])

    score(**{name: listed([value]) for name, value in ROW.items()})
    assert what_is_said() == EXPECTED


@pytest.mark.parametrize("listed", [list, np.array, pd.Series])
def test_callables_that_answer_with_columns_of_one_row(
    listed: Any, what_is_said: Callable[[], dict[str, Any]]
) -> None:
    def column(name: str) -> Callable[[Any], Any]:
        return lambda X: listed([X[name][0]])

    options = {
        **OPTIONS,
        "prediction_id": column("id"),
        "slices": {"land": column("land")},
        "features": lambda X: {name: column(name)(X) for name in OPTIONS["features"]},
    }
    inferspan.predict(**options)(lambda X: [0.75])(pd.DataFrame([ROW]))
    assert what_is_said() == EXPECTED


def test_methods_of_a_wrapped_model(what_is_said: Callable[[], dict[str, Any]]) -> None:
    class Model:
        def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
            return np.array([[0.25, 0.75]] * len(X))

    inferspan.wrap(Model(), classes=["0", "1"], **OPTIONS).predict_proba(pd.DataFrame([ROW]))
    assert what_is_said() == EXPECTED


def test_what_is_missing_in_one_row_is_missing(
    what_is_said: Callable[[], dict[str, Any]],
) -> None:
    frame = pd.DataFrame([ROW | {"amount": None}])
    inferspan.predict(**OPTIONS)(lambda df: [0.75])(frame)
    said = what_is_said()
    assert (said["id"], said["land"]) == ("o-1", "NL")
    np.testing.assert_array_equal(said["numbers"], [np.nan, 3.0])
    assert said["channel"] == ("web",)
