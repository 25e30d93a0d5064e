"""NannyML's own data sets through the product: figures, thresholds and alerts are NannyML's.

Spans in, labels later, figures from the API; NannyML works on the same rows, a chunk being an hour.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import monitored_data
import numpy as np
import pandas
import pytest
from collector_process import Served, serving
from monitored_data import Answers, Rows, answers
from sklearn import metrics

from inferspan import semconv

# Sends who uses it to its makers otherwise.
os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
with warnings.catch_warnings(action="ignore"):
    import nannyml

pytestmark = pytest.mark.filterwarnings("ignore")

OF_CLASSES = ("roc_auc", "f1", "precision", "recall", "specificity", "accuracy")
OF_NUMBERS = ("mae", "mape", "mse", "msle", "rmse", "rmsle")
LONG = {
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_log_error",
    "rmse": "root_mean_squared_error",
    "rmsle": "root_mean_squared_log_error",
}
PROBLEMS = {
    semconv.BINARY: "classification_binary",
    semconv.MULTICLASS: "classification_multiclass",
    semconv.REGRESSION: "regression",
}
METHODS = {
    "jensen_shannon": "jensen_shannon",
    "hellinger": "hellinger",
    "kolmogorov_smirnov": "kolmogorov_smirnov",
    "wasserstein": "wasserstein",
    "chi2": "chi_squared",
    "l_infinity": "l_infinity",
}
OF_BOTH = ["jensen_shannon", "hellinger"]
QUANTILES = 1_024
"""Of the reference, that the cumulative form of a continuous feature is read at."""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("nannyml") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def loans(collector: Served) -> Answers:
    return answers(collector, monitored_data.loans())


@pytest.fixture(scope="module")
def census(collector: Served) -> Answers:
    return answers(collector, monitored_data.census())


@pytest.fixture(scope="module")
def housing(collector: Served) -> Answers:
    return answers(collector, monitored_data.housing())


@pytest.fixture(scope="module")
def cards(collector: Served) -> Answers:
    return answers(collector, monitored_data.cards())


@pytest.fixture(scope="module")
def cars(collector: Served) -> Answers:
    return answers(collector, monitored_data.cars())


def fitted(calculator: Any, rows: Rows, calculate: str = "calculate") -> pandas.DataFrame:
    """What NannyML says of each chunk of the analysis."""
    calculator.fit(rows.reference)
    found = getattr(calculator, calculate)(rows.analysis).filter(period="analysis")
    frame: pandas.DataFrame = found.to_df().reset_index(drop=True)
    return frame


def of_classes(rows: Rows) -> dict[str, Any]:
    """How NannyML is told what the columns are."""
    scores: Any = dict(rows.scores)
    if rows.task == semconv.BINARY:
        (scores,) = rows.scores.values()
    return {
        "y_true": rows.truth,
        "y_pred": rows.said,
        "y_pred_proba": scores,
        "problem_type": PROBLEMS[rows.task],
        "metrics": [*OF_CLASSES],
        **rows.chunked,
    }


def same_threshold(ours: float | None, theirs: float | None, most: float, name: object) -> None:
    if ours is None:
        assert theirs is None or np.isnan(theirs), name
    else:
        assert ours == pytest.approx(theirs, rel=most, abs=most), name


def same_figures(found: Sequence[Mapping[str, Any]], theirs: pandas.DataFrame, most: float) -> None:
    """Of each window value, thresholds and alert of each figure."""
    assert len(found) == len(theirs)
    for place, window in enumerate(found):
        for name in dict.fromkeys(theirs.columns.get_level_values(0)):
            if name == "chunk":
                continue
            row, figure = theirs[name].iloc[place], window[LONG.get(name, name)]
            where = (name, place)
            if np.isnan(row["value"]):
                # Where no row was answered so theirs has none, ours 0 as scikit-learn's, or none.
                assert figure["value"] in (0, None), where
                continue
            if figure["value"] is None:
                # Of no row answered so nothing is to be expected: theirs is 0, and alerts.
                assert row["value"] == 0, where
                continue
            assert figure["value"] == pytest.approx(row["value"], rel=most, abs=most), where
            for side in ("lower", "upper"):
                limit = figure[f"{side}_threshold"]
                same_threshold(limit, row[f"{side}_threshold"], most, where)
            # What rests on few rows alerts nobody here.
            assert figure["alert"] == (bool(row["alert"]) and figure.get("known", True)), where


@pytest.mark.parametrize("name", ["loans", "census", "housing", "cards"])
def test_what_became_true_of_classes(name: str, request: pytest.FixtureRequest) -> None:
    said: Answers = request.getfixturevalue(name)
    theirs = fitted(nannyml.PerformanceCalculator(**of_classes(said.rows)), said.rows)
    windows = [window["metrics"] for window in said.quality["windows"]]
    same_figures(windows, theirs, 1e-8)
    assert any(theirs["accuracy"]["alert"])


def test_what_became_true_of_numbers(cars: Answers) -> None:
    theirs = fitted(
        nannyml.PerformanceCalculator(
            y_true=cars.rows.truth, y_pred=cars.rows.said, problem_type="regression",
            metrics=[*OF_NUMBERS], **cars.rows.chunked,
        ),
        cars.rows,
    )  # fmt: skip
    same_figures([window["metrics"] for window in cars.quality["windows"]], theirs, 1e-9)
    assert any(theirs["mae"]["alert"])


def foreseen(answer: Mapping[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """Of each window the estimates, as figures with thresholds and alert."""
    return [
        {
            name: {
                "value": metric["estimated"]["value"],
                "alert": metric["alert"],
                "known": metric["estimated"].get("known", True),
                **answer["thresholds"][name],
            }
            for name, metric in window["metrics"].items()
        }
        for window in answer["windows"]
    ]


@pytest.mark.parametrize("name", ["loans", "census", "housing"])
def test_what_is_to_be_expected_of_two_classes(name: str, request: pytest.FixtureRequest) -> None:
    said: Answers = request.getfixturevalue(name)
    assert all(window["labeled"] == 0 for window in said.before["windows"])
    theirs = fitted(nannyml.CBPE(**of_classes(said.rows)), said.rows, "estimate")
    same_figures(foreseen(said.before), theirs, 1e-6)


def test_what_is_to_be_expected_of_three_classes(cards: Answers) -> None:
    theirs = fitted(nannyml.CBPE(**of_classes(cards.rows)), cards.rows, "estimate")
    found = foreseen(cards.before)
    for place, window in enumerate(found):
        for name in OF_CLASSES:
            # Whether a class is calibrated is decided by other folds.
            assert window[name]["value"] == pytest.approx(theirs[name]["value"][place], abs=0.0015)
            assert window[name]["alert"] == bool(theirs[name]["alert"][place]), (name, place)


def test_what_is_to_be_expected_of_numbers(cars: Answers) -> None:
    rows = cars.rows
    theirs = fitted(
        nannyml.DLE(
            feature_column_names=[*rows.numbers, *rows.texts], y_pred=rows.said, y_true=rows.truth,
            metrics=[*OF_NUMBERS], **rows.chunked,
        ),
        rows, "estimate",
    )  # fmt: skip
    for place, window in enumerate(foreseen(cars.before)):
        for name in OF_NUMBERS:
            # Their trees are LightGBM's.
            figure, exact = window[LONG[name]], theirs[name]["value"][place]
            assert figure["value"] == pytest.approx(exact, rel=0.05), (name, place)


@pytest.mark.parametrize("name", ["loans", "census", "housing", "cards", "cars"])
def test_an_estimate_is_held_to_what_became_true(name: str, request: pytest.FixtureRequest) -> None:
    said: Answers = request.getfixturevalue(name)
    for foreseen_window, window in zip(
        said.estimates["windows"], said.quality["windows"], strict=True
    ):
        for figure, metric in foreseen_window["metrics"].items():
            realized, exact = metric["realized"], window["metrics"][figure]
            if exact["value"] is None:
                assert realized["value"] is None, figure
                continue
            assert realized["value"] == pytest.approx(exact["value"], rel=1e-8), figure
            assert realized["low"] <= realized["value"] <= realized["high"], figure
            if metric["estimated"]["value"] is None:
                assert metric["gap"] is None, figure
                continue
            gap = metric["gap"]
            assert gap["value"] == pytest.approx(realized["value"] - metric["estimated"]["value"])
            assert gap["low"] <= gap["value"] <= gap["high"], figure


def columns_of(rows: Rows) -> list[str]:
    return [*rows.numbers, *rows.texts]


def distances(rows: Rows) -> pandas.DataFrame:
    return fitted(
        nannyml.UnivariateDriftCalculator(
            column_names=columns_of(rows),
            treat_as_categorical=[*rows.texts],
            continuous_methods=[*OF_BOTH, "kolmogorov_smirnov", "wasserstein"],
            categorical_methods=[*OF_BOTH, "chi2", "l_infinity"],
            **rows.chunked,
        ),
        rows,
    )


def most_off(method: str, values: pandas.Series) -> float:
    """How far from theirs a distance may be: both read a continuous feature at quantiles."""
    if method == "kolmogorov_smirnov":
        return 2 / QUANTILES
    if method == "wasserstein":
        return float(values.max() - values.min()) * 2 / QUANTILES
    return 1e-8


@pytest.mark.parametrize("name", ["loans", "census", "housing", "cars"])
def test_who_drifted(name: str, request: pytest.FixtureRequest) -> None:
    said: Answers = request.getfixturevalue(name)
    rows, theirs, alerts = said.rows, distances(said.rows), 0
    for column in columns_of(rows):
        figures = said.drift["columns"][f"feature.{column}"]["figures"]
        for method in dict.fromkeys(theirs[column].columns.get_level_values(0)):
            ours, exact = figures[METHODS[method]], theirs[column][method]
            off = most_off(method, rows.reference[column])
            where = (column, method)
            assert ours["values"] == pytest.approx(exact["value"].tolist(), rel=1e-8, abs=off), (
                where
            )
            assert ours["alerts"] == [bool(each) for each in exact["alert"]], where
            alerts += sum(ours["alerts"])
    assert alerts


def test_shares_of_rows_that_lack_a_value(collector: Served) -> None:
    rows = monitored_data.loans_with_holes()
    monitored_data.send_predictions(collector, rows, 0)
    monitored_data.send_predictions(collector, rows, 1)
    drift = monitored_data.asked(collector.api, rows.name, "drift", **rows.ends)
    missing = fitted(
        nannyml.MissingValuesCalculator(column_names=columns_of(rows), **rows.chunked), rows
    )
    ranges = fitted(
        nannyml.NumericalRangeCalculator(column_names=[*rows.numbers], **rows.chunked), rows
    )
    for theirs, check in ((missing, "missing"), (ranges, "out_of_range")):
        for column in theirs.columns.get_level_values(0):
            if column == "chunk":
                continue
            ours = drift["columns"][f"feature.{column}"]["figures"][check]
            assert ours["values"] == pytest.approx(theirs[column]["value"].tolist()), column
            assert ours["alerts"] == [bool(each) for each in theirs[column]["alert"]], column


def of_rows(part: pandas.DataFrame, rows: Rows) -> dict[str, float]:
    """scikit-learn's."""
    truth, said = part[rows.truth], part[rows.said]
    (score,) = rows.scores.values()
    figures: dict[str, Callable[..., float]] = {
        "accuracy": metrics.accuracy_score,
        "precision": metrics.precision_score,
        "recall": metrics.recall_score,
        "f1": metrics.f1_score,
        "matthews_corrcoef": metrics.matthews_corrcoef,
        "balanced_accuracy": metrics.balanced_accuracy_score,
    }
    found = {name: float(figure(truth, said)) for name, figure in figures.items()}
    return found | {
        "roc_auc": float(metrics.roc_auc_score(truth, part[score])),
        "log_loss": float(metrics.log_loss(truth, part[score])),
        "brier_score": float(metrics.brier_score_loss(truth, part[score])),
        "average_precision": float(metrics.average_precision_score(truth, part[score])),
    }


def test_slices_of_a_census_by_one_and_by_two(census: Answers) -> None:
    rows = census.rows
    both = pandas.concat([rows.reference, rows.analysis])
    for keys in (["SEX"], ["SEX", "DIS"]):
        by = ",".join(f"slice.{key.lower()}" for key in keys)
        windows = census.ask("quality", by=by)["windows"]
        groups = {
            tuple(str(text) for text in np.atleast_1d(texts)): part
            for texts, part in both.groupby(keys if len(keys) > 1 else keys[0], observed=True)
        }
        assert len(windows) == len(groups)
        for window in windows:
            part = groups[tuple(window["group"].values())]
            assert window["labeled"] == len(part)
            for name, exact in of_rows(part, rows).items():
                found = window["metrics"][name]["value"]
                assert found == pytest.approx(exact, rel=1e-9, abs=1e-9), (window["group"], name)
