"""Declared values that are one for the call: arrays without dimensions, and times of a library."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

OPTIONS: dict[str, Any] = {"model": "m", "task": "regression"}


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        (np.array(0.5), [0.5]),
        (np.array(3), [3.0]),
        (np.array(np.nan), [np.nan]),
        ([np.array(0.5)], [0.5]),
    ],
    ids=["float", "int", "missing", "list of one"],
)
def test_a_number_in_an_array_without_dimensions_is_a_number(
    spans: CapturedSpans, given: object, numbers: list[float]
) -> None:
    @inferspan.predict(**OPTIONS, features=["amount"])
    def score(amount: object) -> float:
        return 0.5

    score(given)
    attributes = spans[0].attributes or {}
    assert attributes[semconv.FEATURE_NAMES] == '["amount"]'
    assert attributes[semconv.FEATURE_DATA] == struct.pack("<d", *numbers)
    assert semconv.FEATURE_CATEGORY_NAMES not in attributes


def test_columns_of_arrays_without_dimensions_are_numbers(spans: CapturedSpans) -> None:
    @inferspan.predict(**OPTIONS, features=["amount"])
    def score(amount: Sequence[object]) -> list[float]:
        return [0.5, 0.5]

    score([np.array(1), np.array(2.5)])
    attributes = spans[0].attributes or {}
    assert attributes[semconv.FEATURE_DATA] == struct.pack("<2d", 1.0, 2.5)


def test_what_the_call_changes_is_read_before_it(spans: CapturedSpans) -> None:
    @inferspan.predict(**OPTIONS, features=["amount"], slices=["part"])
    def score(amount: Any, part: Any) -> float:
        amount[()], part[()] = 9.0, 9
        return 0.5

    score(np.array(1.0), np.array(1))
    attributes = spans[0].attributes or {}
    assert attributes[semconv.FEATURE_DATA] == struct.pack("<d", 1.0)
    assert attributes[semconv.SLICE_PREFIX + "part"] == "1"


@pytest.mark.parametrize("time", [pd.Timestamp("2026-01-01"), pd.NaT, pd.Timedelta(1, "s")])
def test_a_time_takes_no_other_declared_value_with_it(spans: CapturedSpans, time: object) -> None:
    @inferspan.predict(
        **OPTIONS, features=["amount", "time"], slices=["country", "time"], prediction_id="id"
    )
    def score(id: object, amount: float, country: str, time: object) -> float:
        return 0.5

    score(time, 1.0, "NL", time)
    attributes = spans[0].attributes or {}
    assert attributes[semconv.FEATURE_DATA][:8] == struct.pack("<d", 1.0)  # type: ignore[index]
    assert attributes[semconv.SLICE_PREFIX + "country"] == "NL"
    dropped = " ".join(attributes[semconv.CAPTURE_DROPPED])  # type: ignore[arg-type]
    assert "prediction_id:the argument 'id' holds a" in dropped
    assert ("feature time" in dropped) == ("slice time" in dropped) == (time is not pd.NaT)


@pytest.mark.parametrize(
    "column",
    [
        lambda: pd.Series(pd.to_datetime(["2026-01-01", "2026-01-02"])),
        lambda: np.array([b"a", b"b"]),
        lambda: [None, {}],
    ],
    ids=["times", "bytes", "mappings"],
)
def test_that_a_slice_holds_no_texts_is_said(
    spans: CapturedSpans, column: Callable[[], object]
) -> None:
    @inferspan.predict(**OPTIONS, slices=["day"])
    def score(day: object) -> list[float]:
        return [0.5, 0.5]

    score(column())
    attributes = spans[0].attributes or {}
    assert attributes[semconv.CAPTURE_DROPPED] == (
        "slice day:no text or number per prediction; give one",
    )


@pytest.mark.parametrize("column", [[None, float("nan")], ["", ""]])
def test_a_slice_that_is_missing_of_all_rows_is_no_fault(
    spans: CapturedSpans, column: list[object]
) -> None:
    @inferspan.predict(**OPTIONS, slices=["day"])
    def score(day: object) -> list[float]:
        return [0.5, 0.5]

    score(column)
    attributes = spans[0].attributes or {}
    assert semconv.CAPTURE_DROPPED not in attributes
    assert semconv.SLICE_PREFIX + "day" not in attributes
