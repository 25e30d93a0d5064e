"""Figures of rows that weigh are scikit-learn's with `sample_weight`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from asking import FilledStore, ask
from hypothesis import given
from hypothesis import strategies as st
from quality_counts import counts_of
from records import START_NS, Label, Prediction
from sklearn import metrics
from test_metrics_arrivals import scraped
from test_metrics_arrivals import value as told

from inferspan.semconv import BINARY as BINARY_TASK
from inferspan.semconv import MULTILABEL, REGRESSION
from inferspan_collector.config import Config, Model
from inferspan_collector.publish import api, prometheus
from inferspan_collector.publish.metrics.row_figures import RowFigures
from inferspan_collector.quality import many_windows
from inferspan_collector.quality.counted_windows import CountedWindows
from inferspan_collector.quality.figure import BINARY, MACRO, MICRO, WEIGHTED, Figure
from inferspan_collector.quality.intervals import effective_n, wilson_share
from inferspan_collector.quality.weighing import Weighed

NAMES = ("a", "b", "c", "d")
Row = tuple[str, str, float]
"""(predicted, actual, weight)."""
weights = st.sampled_from([0.25, 1.0, 2.0, 3.7, 10.0])
rows_of = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), weights), min_size=1, max_size=40
)


def figures(rows: Sequence[Row], average: str) -> dict[str, Figure]:
    windows = CountedWindows.of([counts_of([(p, a) for p, a, _ in rows])])
    place = {name: number for number, name in enumerate(windows.classes)}
    shape = (1, len(place), len(place))
    weighed = Weighed(
        np.zeros(shape), np.zeros(shape), np.ones(1, np.bool_), np.zeros((1, 2)), np.zeros((1, 2))
    )
    for predicted, actual, weight in rows:
        weighed.weights[0, place[predicted], place[actual]] += weight
        weighed.squares[0, place[predicted], place[actual]] += weight**2
    found = many_windows.many(windows, windows.matrices(), average, ["a"], weighed).of(0)
    assert found is not None
    return found


@given(rows=rows_of, average=st.sampled_from([BINARY, MACRO, MICRO, WEIGHTED]))
def test_they_are_scikit_learns(rows: list[Row], average: str) -> None:
    found = figures(rows, average)
    predicted, actual, weight = (list(column) for column in zip(*rows, strict=True))
    about = {"sample_weight": weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": metrics.accuracy_score(actual, predicted, **about),
            "balanced_accuracy": metrics.balanced_accuracy_score(actual, predicted, **about),
            "matthews_corrcoef": metrics.matthews_corrcoef(actual, predicted, **about),
            "cohen_kappa": metrics.cohen_kappa_score(actual, predicted, **about),
        }
        if average != BINARY:
            about |= {"average": average, "zero_division": 0}
            expected["precision"] = metrics.precision_score(actual, predicted, **about)
            expected["recall"] = metrics.recall_score(actual, predicted, **about)
            for name, beta in (("f1", 1), ("f2", 2), ("f0_5", 0.5)):
                expected[name] = metrics.fbeta_score(actual, predicted, beta=beta, **about)
    for name, value in expected.items():
        figure = found[name]
        assert figure.n == len(rows), name
        if figure.value is None:
            assert np.isnan(value), name
            continue
        assert figure.value == pytest.approx(value, rel=0, abs=1e-9), name
        if figure.low is not None and figure.high is not None:
            assert figure.low <= figure.value <= figure.high, (name, figure)


@given(rows=rows_of, average=st.sampled_from([BINARY, MACRO, MICRO, WEIGHTED]), each=weights)
def test_rows_that_weigh_alike_are_as_sure_as_rows_that_weigh_one(
    rows: list[Row], average: str, each: float
) -> None:
    plain = figures([(p, a, 1.0) for p, a, _ in rows], average)
    for name, figure in figures([(p, a, each) for p, a, _ in rows], average).items():
        other = plain[name]
        assert (figure.n, figure.reason) == (other.n, other.reason), name
        for mine, its in zip(
            (figure.value, figure.low, figure.high), (other.value, other.low, other.high),
            strict=True,
        ):  # fmt: skip
            assert (mine is None) == (its is None), name
            assert mine is None or mine == pytest.approx(its, rel=0, abs=1e-6), name


@given(rows=rows_of)
def test_rows_that_weigh_differently_are_worth_fewer(rows: list[Row]) -> None:
    found = figures(rows, BINARY)
    for name, mine in (
        ("accuracy", rows),
        ("precision", [row for row in rows if row[0] == "a"]),
        ("recall", [row for row in rows if row[1] == "a"]),
    ):
        figure = found[name]
        assert figure.n == len(mine), name
        if mine:
            total = sum(weight for _, _, weight in mine)
            right = sum(weight for p, a, weight in mine if p == a)
            worth = effective_n(total, sum(weight**2 for _, _, weight in mine))
            expected = wilson_share(right / total, worth)
            assert (figure.low, figure.high) == pytest.approx(expected, rel=0, abs=1e-9), name


def test_the_api_weighs_what_was_sampled(tmp_path: Path) -> None:
    store = FilledStore(tmp_path)
    for number, (predicted, actual, each) in enumerate(
        [("fraud", "fraud", 10.0), ("fraud", "legit", 1.0), ("legit", "legit", 10.0)]
    ):
        about = {"task": BINARY_TASK, "positive_class": "fraud", "event_time": START_NS}
        store.add(
            Prediction(
                f"p{number}", predicted, trace=number + 1, span=number + 1, adjusted_count=each,
                **about,  # type: ignore[arg-type]
            ),
            Label(f"p{number}", actual, f"l{number}"),
        )  # fmt: skip

    def answer() -> dict[str, object]:
        said = ask(api.routes(store, store.config), "/api/v1/models/fraud/quality").json()
        window: dict[str, object] = said["windows"][0]
        return window

    window = answer()
    assert window["labeled"] == 3
    assert window["weights"] == {"total": 21.0, "effective_n": pytest.approx(21**2 / 201)}
    metrics_of: dict[str, dict[str, float]] = window["metrics"]  # type: ignore[assignment]
    assert (metrics_of["accuracy"]["value"], metrics_of["accuracy"]["n"]) == (20 / 21, 3)
    assert metrics_of["precision"]["value"] == 10 / 11
    low, high = wilson_share(20 / 21, 21**2 / 201)
    assert (metrics_of["accuracy"]["low"], metrics_of["accuracy"]["high"]) == pytest.approx(
        (low, high)
    )
    # Erased by age: what it weighed is not known any more, that it was counted is.
    with store.database.cursor() as cursor:
        cursor.execute(
            "DELETE FROM outcomes WHERE prediction_row = (SELECT min(row_id) FROM predictions)"
        )
    window = answer()
    assert window["weights"] is None
    assert window["metrics"]["accuracy"]["value"] == 2 / 3  # type: ignore[index]
    store.close()


SETS = (("[]", "[]"), ('["a","b"]', '["a","b"]'), ('["a"]', '["a","b"]'), ('["b"]', '["b"]'))


@pytest.mark.parametrize("task", [REGRESSION, MULTILABEL])
def test_the_share_that_is_right_of_numbers_and_of_sets_is_weighed_too(
    tmp_path: Path, task: str
) -> None:
    store = FilledStore(tmp_path, Config(models={"fraud": Model(tolerance=0.5)}))
    rng = np.random.default_rng(2)
    right, weight = [], rng.choice([1.0, 3.0, 12.5], 40)
    for number, each in enumerate(weight.tolist()):
        about = {"task": task, "positive_class": None, "adjusted_count": each}
        said, true = 1.0, float(rng.choice([0.4, 0.6, 1.5, 2.0]))
        right.append(abs(true - said) <= 0.5)
        texts: tuple[str | None, str | None] = (None, repr(true))
        if task == MULTILABEL:
            texts = SETS[number % len(SETS)]
            right[-1] = {*json.loads(texts[0] or "")} == {*json.loads(texts[1] or "")}
            said = true = float("nan")
        store.add(
            Prediction(
                f"p{number}", texts[0], trace=number + 1, span=number + 1, value=said,
                slices={"country": "DE"}, **about,  # type: ignore[arg-type]
            ),
            Label(f"p{number}", texts[1], f"l{number}", value=true),
        )  # fmt: skip
    exact = metrics.accuracy_score(np.ones(40), right, sample_weight=weight)
    worth = effective_n(weight.sum(), (weight**2).sum())
    (window,) = ask(api.routes(store, store.config), "/api/v1/models/fraud/quality").json()[
        "windows"
    ]
    accuracy = window["metrics"]["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (pytest.approx(exact, rel=1e-12), 40)
    assert (accuracy["low"], accuracy["high"]) == pytest.approx(wilson_share(exact, worth))
    assert window["weights"] == {"total": weight.sum(), "effective_n": pytest.approx(worth)}
    figures = RowFigures(store, store.config, store.telemetry, lambda: 0.0)
    figures.make()
    shown = scraped(prometheus.routes(store, store.telemetry, store.config, figures))
    for name in ("inferspan_quality_score", "inferspan_slice_score"):
        assert told(shown, name, metric="accuracy", window="1h") == pytest.approx(exact), name
    store.close()
