"""Data sets that come inside NannyML, row by row, and the same rows sent to a collector."""

from __future__ import annotations

import json
import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas
from collector_process import Served, asked, post
from numpy.typing import NDArray

from inferspan import semconv
from inferspan_collector.publish.parameters import rfc3339
from inferspan_collector.testing import otlp_span, traces_request

with warnings.catch_warnings(action="ignore"):
    import nannyml

HOUR_NS = 3_600_000_000_000
BATCH = 1_000


@dataclass
class Rows:
    """A data set: a reference, and what came after it, labelled later. A chunk is an hour.

    Chunks have so many rows each, or are the months of a column of times.
    """

    name: str
    reference: pandas.DataFrame
    analysis: pandas.DataFrame
    """With its truths."""
    truth: str
    said: str
    task: str
    chunk: int | str
    numbers: Sequence[str] = ()
    texts: Sequence[str] = ()
    slices: Sequence[str] = ()
    scores: Mapping[str, str] = field(default_factory=dict)
    """Class → the column of its probability; of two classes that of the positive one."""

    @cached_property
    def start_ns(self) -> int:
        return (time.time_ns() // HOUR_NS - self.hours(0) - self.hours(1) - 1) * HOUR_NS

    @cached_property
    def chunks(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The chunk of each row of the reference, and of the analysis."""
        if isinstance(self.chunk, int):
            each = (np.arange(len(part)) // self.chunk for part in (self.reference, self.analysis))
            return next(each), next(each)
        months = (
            pandas.to_datetime(part[self.chunk]).dt.to_period("M").to_numpy()
            for part in (self.reference, self.analysis)
        )
        first, second = (pandas.factorize(part)[0].astype(np.int64) for part in months)
        return first, second

    def hours(self, part: int) -> int:
        """How many the reference (0), or the analysis (1), has."""
        return int(self.chunks[part][-1]) + 1

    @property
    def ends(self) -> dict[str, str]:
        """Parameters of a question about the analysis, measured against the reference."""
        cut = rfc3339(self.start_ns + self.hours(0) * HOUR_NS)
        return {
            "every": "1h",
            "reference_from": rfc3339(self.start_ns),
            "reference_to": cut,
            "from": cut,
        }

    def times_ns(self, part: int) -> list[int]:
        """Of each row; those of an hour are as far apart from each other."""
        chunks = self.chunks[part]
        sizes = np.bincount(chunks)
        places = np.arange(len(chunks)) - (np.cumsum(sizes) - sizes)[chunks]
        first = self.start_ns + (chunks + part * self.hours(0)) * HOUR_NS
        times: list[int] = (first + places * (HOUR_NS // sizes[chunks])).tolist()
        return times

    @property
    def chunked(self) -> dict[str, Any]:
        """How NannyML is told so."""
        if isinstance(self.chunk, int):
            return {"chunk_size": self.chunk}
        return {"chunk_period": "M", "timestamp_column_name": self.chunk}


def loans() -> Rows:
    """Synthetic: two classes; what loans are asked for changes in the last half."""
    reference, analysis, truths = nannyml.load_synthetic_car_loan_dataset()
    return Rows(
        "loans", reference, analysis.merge(truths, on="id"), "repaid", "y_pred", semconv.BINARY,
        5_000,
        ["car_value", "debt_to_income_ratio", "loan_length", "driver_tenure"],
        ["salary_range", "repaid_loan_on_prev_car", "size_of_downpayment"],
        scores={"1": "y_pred_proba"},
    )  # fmt: skip


def loans_with_holes() -> Rows:
    """The same, some of whose values are missing, or out of range."""
    reference, analysis, truths = nannyml.load_synthetic_car_loan_data_quality_dataset()
    return Rows(
        "holes", reference, analysis.merge(truths, on="id"), "repaid", "y_pred", semconv.BINARY,
        5_000,
        ["car_value", "debt_to_income_ratio", "loan_length", "driver_tenure"],
        ["salary_range", "size_of_downpayment"],
        scores={"1": "y_pred_proba"},
    )  # fmt: skip


def census() -> Rows:
    """Real: who is employed in Massachusetts, by the American Community Survey: 2015, and 60,000
    of later years, among whom the model fails once.
    """
    reference, analysis, truths = nannyml.load_us_census_ma_employment_data()
    analysis = analysis.merge(truths, on="id").iloc[90_000:150_000]
    return Rows(
        "census", reference, analysis, "employed", "prediction", semconv.BINARY, 5_000,
        ["AGEP"], ["SCHL", "MAR", "RELP", "DIS", "MIL", "RAC1P"], ["SEX", "DIS"],
        {"1": "predicted_probability"},
    )  # fmt: skip


def housing() -> Rows:
    """Real features, of whole blocks of houses in California: later ones are elsewhere. By months,
    as NannyML's own example has it.
    """
    reference, analysis, truths = nannyml.load_modified_california_housing_dataset()
    return Rows(
        "housing", reference, analysis.merge(truths, on="id"), "clf_target", "y_pred",
        semconv.BINARY, "timestamp",
        ["MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude"],
        scores={"1": "y_pred_proba"},
    )  # fmt: skip


def cards() -> Rows:
    """Synthetic: three classes."""
    reference, analysis, truths = nannyml.load_synthetic_multiclass_classification_dataset()
    names = ("highstreet_card", "prepaid_card", "upmarket_card")
    return Rows(
        "cards", reference, analysis.merge(truths, on="id"), "y_true", "y_pred",
        semconv.MULTICLASS, 6_000,
        scores={name: f"y_pred_proba_{name}" for name in names},
    )  # fmt: skip


def cars() -> Rows:
    """Synthetic: prices."""
    reference, analysis, truths = nannyml.load_synthetic_car_price_dataset()
    numbers = ["car_age", "km_driven", "price_new", "accident_count", "door_count"]
    return Rows(
        "cars", reference, analysis.merge(truths, on="id"), "y_true", "y_pred",
        semconv.REGRESSION, 6_000, numbers, ["fuel", "transmission"],
    )  # fmt: skip


def text(value: object) -> str | None:
    return None if value is None or value != value else str(value)


def class_text(value: object) -> str:
    """A class that a column of numbers holds is sent as the whole number that it is."""
    return str(int(value)) if isinstance(value, float) else str(value)


def output_of(rows: Rows, row: Mapping[str, Any]) -> dict[str, Any]:
    """What the model said, as attributes."""
    if rows.task == semconv.REGRESSION:
        return {semconv.OUTPUT_VALUE: float(row[rows.said])}
    said: dict[str, Any] = {semconv.OUTPUT_CLASS: class_text(row[rows.said])}
    if rows.task == semconv.BINARY:
        (column,) = rows.scores.values()
        said[semconv.OUTPUT_POSITIVE_CLASS] = "1"
        return said | {semconv.OUTPUT_SCORE: float(row[column])}
    probabilities = [float(row[column]) for column in rows.scores.values()]
    return said | {
        semconv.OUTPUT_SCORE: max(probabilities),
        semconv.OUTPUT_CLASSES: [*rows.scores],
        semconv.OUTPUT_PROBABILITIES: probabilities,
    }


def inputs_of(rows: Rows, row: Mapping[str, Any]) -> dict[str, Any]:
    """What the model saw; a category that is missing is not among them."""
    texts = {name: text(row[name]) for name in rows.texts}
    known = {name: value for name, value in texts.items() if value is not None}
    found: dict[str, Any] = {
        f"{semconv.SLICE_PREFIX}{name.lower()}": str(row[name]) for name in rows.slices
    }
    if rows.numbers:
        data = np.array([row[name] for name in rows.numbers], "<f8")
        found |= {
            semconv.FEATURE_NAMES: json.dumps([*rows.numbers]),
            semconv.FEATURE_DATA: data.tobytes(),
        }
    if known:
        found |= {
            semconv.FEATURE_CATEGORY_NAMES: json.dumps([*known]),
            semconv.FEATURE_CATEGORY_VALUES: [*known.values()],
        }
    return found


def send_predictions(collector: Served, rows: Rows, part: int) -> None:
    """A span a prediction."""
    records = (rows.reference, rows.analysis)[part].to_dict("records")
    times = rows.times_ns(part)
    for first in range(0, len(records), BATCH):
        spans = [
            otlp_span(
                f"{rows.name} {part} {number}",
                {
                    semconv.TASK_TYPE: rows.task,
                    semconv.OPERATION_NAME: "predict",
                    semconv.MODEL_NAME: rows.name,
                    semconv.PREDICTION_ID: f"{rows.name}-{part}-{number}",
                    **output_of(rows, record),
                    **inputs_of(rows, record),
                },
                start_ns=times[number],
            )
            for number, record in enumerate(records[first : first + BATCH], first)
        ]
        body = traces_request(spans).SerializeToString()
        post(f"{collector.otlp_http}/v1/traces", body, "application/x-protobuf")


def send_labels(collector: Served, rows: Rows, part: int) -> None:
    """In an order of their own."""
    truths = (rows.reference, rows.analysis)[part][rows.truth].tolist()
    key = "value" if rows.task == semconv.REGRESSION else "class"
    lines = [
        json.dumps(
            {
                "prediction_id": f"{rows.name}-{part}-{number}",
                "model": rows.name,
                key: truth if key == "value" else class_text(truth),
            }
        )
        for number, truth in enumerate(truths)
    ]
    random.Random(1).shuffle(lines)
    for first in range(0, len(lines), 20_000):
        body = "\n".join(lines[first : first + 20_000]).encode()
        post(f"{collector.api}/v1/labels", body, "application/x-ndjson")


@dataclass
class Answers:
    """What the API said of the analysis: before its labels came, and after."""

    rows: Rows
    before: dict[str, Any]
    estimates: dict[str, Any]
    drift: dict[str, Any]
    quality: dict[str, Any]
    ask: Callable[..., dict[str, Any]]


def answers(collector: Served, rows: Rows) -> Answers:
    """Send everything, the labels of the analysis last."""
    ask = partial(asked, collector.api, rows.name)
    for part in (0, 1):
        send_predictions(collector, rows, part)
    send_labels(collector, rows, 0)
    before = ask("estimates", **rows.ends)
    send_labels(collector, rows, 1)
    average = {"average": "macro"} if rows.task == semconv.MULTICLASS else {}
    return Answers(
        rows,
        before,
        ask("estimates", **rows.ends),
        ask("drift", **rows.ends),
        ask("quality", **rows.ends, **average),
        ask,
    )
