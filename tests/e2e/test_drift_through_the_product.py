"""A model whose inputs drift, through the product: spans in, labels later, figures from the API.

Eight hours are as they should be and are labelled; in four more the inputs are others. Everything
that is said of them before their labels come, and after, is held to scikit-learn, scipy, numpy and
river on the same rows.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pytest
from collector_process import Served, asked, post, serving
from river.drift import ADWIN
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance
from sklearn import metrics
from sklearn.isotonic import IsotonicRegression

from inferspan import semconv
from inferspan_collector.publish.parameters import rfc3339
from inferspan_collector.testing import otlp_span, traces_request

MODEL = "loans"
HOUR_NS, STEP_NS = 3_600_000_000_000, 2_000_000_000
REFERENCE, LATER, HOURLY = 8, 4, 1_000
ROWS, CUT = (REFERENCE + LATER) * HOURLY, REFERENCE * HOURLY
COUNTRIES, CHANNELS = ("DE", "FR", "PL"), ("app", "web")


@dataclass
class Rows:
    """N predictions in the order of their events, and their truths."""

    score: np.ndarray
    truth: np.ndarray
    income: np.ndarray
    """Continuous; NaN = missing."""
    years: np.ndarray
    """Few whole numbers."""
    country: np.ndarray
    channel: np.ndarray

    @property
    def said(self) -> np.ndarray:
        return self.score >= 0.5


def drawn() -> Rows:
    """Scores that promise too much, of inputs that are others from `CUT` on."""
    rng = np.random.default_rng(46)
    late = np.arange(ROWS) >= CUT
    score = np.where(late, rng.beta(2, 2, ROWS), rng.beta(0.5, 0.5, ROWS)).round(3)
    income = rng.lognormal(np.where(late, 0.4, 0.0), 1.0)
    income[rng.random(ROWS) < np.where(late, 0.1, 0.02)] = np.nan
    country = rng.choice(COUNTRIES, ROWS, p=[0.5, 0.3, 0.2])
    country[late & (rng.random(ROWS) < 0.05)] = "NL"
    return Rows(
        score,
        rng.random(ROWS) < score**1.5,
        income,
        rng.integers(0, np.where(late, 12, 9)).astype(float),
        country,
        rng.choice(CHANNELS, ROWS),
    )


@pytest.fixture(scope="module")
def rows() -> Rows:
    return drawn()


@dataclass
class Answers:
    """What the API said, before the later labels came and after."""

    before: dict[str, Any]
    estimates: dict[str, Any]
    drift: dict[str, Any]
    quality: dict[str, Any]
    sliced: dict[str, Any]
    all_drift: dict[str, Any]
    start_ns: int


def send_predictions(collector: Served, rows: Rows, start_ns: int) -> None:
    """One span a prediction, 500 a request, two seconds apart."""
    for first in range(0, ROWS, 500):
        spans = [
            otlp_span(
                f"{MODEL} {row}",
                {
                    semconv.TASK_TYPE: semconv.BINARY,
                    semconv.OPERATION_NAME: "predict",
                    semconv.MODEL_NAME: MODEL,
                    semconv.OUTPUT_POSITIVE_CLASS: "1",
                    semconv.PREDICTION_ID: f"loan-{row}",
                    semconv.OUTPUT_CLASS: str(int(rows.said[row])),
                    semconv.OUTPUT_SCORE: float(rows.score[row]),
                    semconv.FEATURE_NAMES: '["income","years"]',
                    semconv.FEATURE_DATA: np.array(
                        [rows.income[row], rows.years[row]], "<f8"
                    ).tobytes(),
                    semconv.FEATURE_CATEGORY_NAMES: '["country"]',
                    semconv.FEATURE_CATEGORY_VALUES: [str(rows.country[row])],
                    f"{semconv.SLICE_PREFIX}country": str(rows.country[row]),
                    f"{semconv.SLICE_PREFIX}channel": str(rows.channel[row]),
                },
                start_ns=start_ns + row // HOURLY * HOUR_NS + row % HOURLY * STEP_NS,
            )
            for row in range(first, first + 500)
        ]
        body = traces_request(spans).SerializeToString()
        post(f"{collector.otlp_http}/v1/traces", body, "application/x-protobuf")


def send_labels(collector: Served, rows: Rows, numbers: range) -> None:
    """In an order of their own."""
    lines = [
        json.dumps(
            {"prediction_id": f"loan-{row}", "model": MODEL, "class": str(int(rows.truth[row]))}
        )
        for row in random.Random(1).sample(numbers, len(numbers))
    ]
    post(f"{collector.api}/v1/labels", "\n".join(lines).encode(), "application/x-ndjson")


@pytest.fixture(scope="module")
def answers(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    start_ns = (time.time_ns() // HOUR_NS - REFERENCE - LATER - 1) * HOUR_NS
    ends = {
        "reference_from": rfc3339(start_ns),
        "reference_to": rfc3339(start_ns + REFERENCE * HOUR_NS),
        "every": "1h",
    }
    later = {**ends, "from": ends["reference_to"]}
    with serving(tmp_path_factory.mktemp("drifting") / "data") as collector:
        get = partial(asked, collector.api, MODEL)
        send_predictions(collector, rows, start_ns)
        send_labels(collector, rows, range(CUT))
        before = get("estimates", **later)
        send_labels(collector, rows, range(CUT, ROWS))
        yield Answers(
            before,
            get("estimates", **later),
            get("drift", **later),
            get("quality", **later),
            get("quality", by="slice.country,slice.channel"),
            get("drift"),
            start_ns,
        )


def parts(first: int, hours: int) -> list[slice]:
    return [slice(first + n * HOURLY, first + (n + 1) * HOURLY) for n in range(hours)]


def close(found: float, exact: float, name: object) -> None:
    assert found == pytest.approx(exact, rel=1e-9, abs=1e-9), name


def figures(truth: np.ndarray, score: np.ndarray, weight: np.ndarray | None = None) -> Any:
    """scikit-learn's."""
    said, about = score >= 0.5, {"sample_weight": weight}
    return {
        "accuracy": metrics.accuracy_score(truth, said, **about),
        "precision": metrics.precision_score(truth, said, **about),
        "recall": metrics.recall_score(truth, said, **about),
        "specificity": metrics.recall_score(~truth, ~said, **about),
        "f1": metrics.f1_score(truth, said, **about),
        "roc_auc": metrics.roc_auc_score(truth, score, **about),
    }


def test_estimates_are_those_of_calibrated_scores(rows: Rows, answers: Answers) -> None:
    line = IsotonicRegression(out_of_bounds="clip")
    line.fit(rows.score[:CUT], rows.truth[:CUT].astype(float))
    reference = [figures(rows.truth[part], rows.score[part]) for part in parts(0, REFERENCE)]
    assert answers.before["method"] == "cbpe"
    for window, part in zip(answers.before["windows"], parts(CUT, LATER), strict=True):
        assert (window["predictions"], window["labeled"]) == (HOURLY, 0)
        score = rows.score[part]
        likely = line.predict(score)
        # Each row twice: true as often as it is likely to be, and false else.
        truth = np.repeat([True, False], HOURLY)
        expected = figures(truth, np.tile(score, 2), np.concatenate([likely, 1 - likely]))
        for name, exact in expected.items():
            metric = window["metrics"][name]
            close(metric["estimated"]["value"], exact, name)
            values = [each[name] for each in reference]
            low, high = (np.mean(values) + k * np.std(values) for k in (-3, 3))
            limits = answers.before["thresholds"][name]
            close(limits["lower_threshold"], low, name)
            assert metric["alert"] == (not low <= exact <= high), name
            assert metric["realized"]["value"] is None
        assert window["metrics"]["accuracy"]["alert"] is True


def test_what_becomes_true_is_scikit_learns(rows: Rows, answers: Answers) -> None:
    hours = zip(
        answers.estimates["windows"], answers.quality["windows"], parts(CUT, LATER), strict=True
    )
    for foreseen, window, part in hours:
        for name, exact in figures(rows.truth[part], rows.score[part]).items():
            close(foreseen["metrics"][name]["realized"]["value"], exact, name)
            close(window["metrics"][name]["value"], exact, name)
            # The data changed, and not what a score means.
            gap = foreseen["metrics"][name]["gap"]
            assert gap["significant"] is False, (name, gap)


def followed(
    rows: np.ndarray, distance: Callable[[np.ndarray, np.ndarray], float]
) -> tuple[list[float], float]:
    """The later hours' distances from the whole reference, and the threshold by its own hours."""
    whole = rows[:CUT]
    reference = [distance(whole, rows[part]) for part in parts(0, REFERENCE)]
    later = [distance(whole, rows[part]) for part in parts(CUT, LATER)]
    return later, float(np.mean(reference) + 3 * np.std(reference))


def of_bins(reference: np.ndarray, window: np.ndarray) -> float:
    """NannyML's Jensen-Shannon distance of numbers: Doane's bins, and one for what is outside."""
    reference, window = reference[~np.isnan(reference)], window[~np.isnan(window)]
    edges = np.histogram_bin_edges(reference, bins="doane")
    p, q = (np.histogram(each, edges)[0] / len(each) for each in (reference, window))
    # What is left of 1 may be a rounding error below 0.
    return float(jensenshannon([*p, 0.0], [*q, max(0.0, 1 - q.sum())], base=2))


def of_texts(reference: np.ndarray, window: np.ndarray) -> np.ndarray:
    names = sorted({*reference, *window})
    return np.array([[(each == name).sum() for name in names] for each in (reference, window)])


def test_drift_of_numbers_is_scipys(rows: Rows, answers: Answers) -> None:
    columns = {
        "feature.income": rows.income,
        "feature.years": rows.years,
        "predicted.score": rows.score,
    }
    for name, values in columns.items():
        found = answers.drift["columns"][name]["figures"]
        later, threshold = followed(values, of_bins)
        for ours, exact in zip(found["jensen_shannon"]["values"], later, strict=True):
            close(ours, exact, name)
        close(found["jensen_shannon"]["upper_threshold"], threshold, name)
        assert found["jensen_shannon"]["lower_threshold"] is None
        assert found["jensen_shannon"]["alerts"] == [each > threshold for each in later]
        present = [
            (values[:CUT][~np.isnan(values[:CUT])], values[part][~np.isnan(values[part])])
            for part in parts(CUT, LATER)
        ]
        for place, (reference, window) in enumerate(present):
            # 1,024 quantiles of the reference: what is between two of them is at most so much.
            gap = ks_2samp(reference, window).statistic
            near = found["kolmogorov_smirnov"]["values"][place]
            assert 0 <= gap - near + 1e-12 < 2 / 1_024, name
            missing = 1 - len(window) / HOURLY
            close(found["missing"]["values"][place], missing, name)
            outside = ((window < reference.min()) | (window > reference.max())).sum()
            close(found["out_of_range"]["values"][place], outside / HOURLY, name)
    # The later hours hold no number of years that the reference does not, within its range.
    later, _ = followed(rows.years, wasserstein_distance)
    found = answers.drift["columns"]["feature.years"]["figures"]["wasserstein"]
    for ours, exact in zip(found["values"], later, strict=True):
        close(ours, exact, "feature.years")


def test_drift_of_classes_is_scipys(rows: Rows, answers: Answers) -> None:
    columns = {
        "feature.country": rows.country,
        "predicted.class": rows.said.astype(int).astype(str),
    }
    for name, texts in columns.items():
        found = answers.drift["columns"][name]["figures"]
        tables = [of_texts(texts[:CUT], texts[part]) for part in parts(CUT, LATER)]
        for place, table in enumerate(tables):
            exact = chi2_contingency(table)
            close(found["chi_squared"]["values"][place], exact.statistic, name)
            assert found["chi_squared"]["alerts"][place] == (exact.pvalue < 0.05)
            p, q = table / table.sum(axis=1, keepdims=True)
            close(found["jensen_shannon"]["values"][place], jensenshannon(p, q, base=2), name)
            close(found["l_infinity"]["values"][place], abs(p - q).max(), name)
            hellinger = math.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2)
            close(found["hellinger"]["values"][place], hellinger, name)
    unseen = answers.drift["columns"]["feature.country"]["figures"]["unseen_categories"]
    shares = [(rows.country[part] == "NL").mean() for part in parts(CUT, LATER)]
    assert unseen["values"] == pytest.approx(shares)
    assert unseen["alerts"] == [True] * LATER


def test_slices_by_two_are_scikit_learns(rows: Rows, answers: Answers) -> None:
    windows = answers.sliced["windows"]
    assert len(windows) == 4 * len(CHANNELS)
    for window in windows:
        group = window["group"]
        mine = (rows.country == group["slice.country"]) & (rows.channel == group["slice.channel"])
        assert window["labeled"] == mine.sum()
        for name, exact in figures(rows.truth[mine], rows.score[mine]).items():
            close(window["metrics"][name]["value"], exact, (group, name))


def test_errors_change_when_rivers_adwin_says_so(rows: Rows, answers: Answers) -> None:
    theirs = ADWIN()
    found = []
    for row, wrong in enumerate(rows.said != rows.truth):
        theirs.update(float(wrong))
        if theirs.drift_detected:
            found.append(row)
    said = answers.all_drift["error_changes"]
    assert said
    assert found
    first = answers.start_ns + found[0] // HOURLY * HOUR_NS + found[0] % HOURLY * STEP_NS
    assert datetime.fromisoformat(said[0]["found"]) == datetime.fromtimestamp(first // 10**9, UTC)
    assert said[0]["error_before"] < said[0]["error_after"]
