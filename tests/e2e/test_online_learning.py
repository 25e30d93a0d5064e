"""Models that learn from each label as it comes, through the product: figures are river's.

Each request is answered by what the model has learnt so far; its label comes next, and the model
learns from it. river's metrics, updated one row after the other, are what the API says at the end;
ADWIN finds in the stored errors what it finds in the stream.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import pytest
from collector_process import Served, asked, post, serving
from river import datasets, linear_model, metrics, naive_bayes, preprocessing
from river.drift import ADWIN

from inferspan import semconv
from inferspan_collector.testing import prediction_span, traces_request

STEP_NS = 2_000_000_000
ROWS = 1_000
BATCH = 100


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("online") / "data") as running:
        yield running


def served(
    collector: Served,
    model: str,
    rows: Iterable[tuple[dict[str, Any], Any]],
    answer: Callable[[dict[str, Any]], dict[str, Any]],
    learn: Callable[[dict[str, Any], Any], dict[str, Any]],
) -> int:
    """Answer each row, then learn its truth; both are sent a hundred at a time, answers first.

    Args:
        collector: where to.
        model: its name.
        rows: (features, truth).
        answer: the attributes of a prediction.
        learn: what a label says of a row.

    Returns:
        When the first prediction was, Unix ns.
    """
    start_ns = (time.time_ns() // 10**9 - 2 * ROWS - 60) * 10**9
    spans, labels = [], []
    for row, (x, y) in zip(range(ROWS), rows, strict=False):
        key = f"{model}-{row}"
        attributes = answer(x)
        spans.append(
            prediction_span(key, attributes, model=model, start_ns=start_ns + row * STEP_NS)
        )
        labels.append(json.dumps({"prediction_id": key, "model": model, **learn(x, y)}))
        if len(spans) == BATCH:
            body = traces_request(spans).SerializeToString()
            post(f"{collector.otlp_http}/v1/traces", body, "application/x-protobuf")
            post(f"{collector.api}/v1/labels", "\n".join(labels).encode(), "application/x-ndjson")
            spans, labels = [], []
    assert not spans
    return start_ns


def same(found: dict[str, Any], expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert found[name]["n"] > 0, name
        assert found[name]["value"] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def test_two_classes(collector: Served) -> None:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    theirs = {
        "accuracy": metrics.Accuracy(),
        "precision": metrics.Precision(),
        "recall": metrics.Recall(),
        "f1": metrics.F1(),
        "matthews_corrcoef": metrics.MCC(),
        "balanced_accuracy": metrics.BalancedAccuracy(),
        "cohen_kappa": metrics.CohenKappa(),
    }
    stream, found = ADWIN(), []
    said: list[bool] = []

    def answer(x: dict[str, Any]) -> dict[str, Any]:
        score = model.predict_proba_one(x).get(True, 0.5)
        said.append(score >= 0.5)
        return {
            semconv.TASK_TYPE: semconv.BINARY,
            semconv.OUTPUT_POSITIVE_CLASS: "true",
            semconv.OUTPUT_CLASS: "true" if said[-1] else "false",
            semconv.OUTPUT_SCORE: score,
        }

    def learn(x: dict[str, Any], y: bool) -> dict[str, Any]:
        for metric in theirs.values():
            metric.update(y, said[-1])
        stream.update(float(said[-1] != y))
        if stream.drift_detected:
            found.append(len(said) - 1)
        model.learn_one(x, y)
        return {"class": "true" if y else "false"}

    start_ns = served(collector, "phishing", datasets.Phishing(), answer, learn)
    (window,) = asked(collector.api, "phishing", "quality")["windows"]
    assert window["labeled"] == ROWS
    same(window["metrics"], {name: metric.get() for name, metric in theirs.items()})
    changes = asked(collector.api, "phishing", "drift")["error_changes"]
    times = [start_ns + row * STEP_NS for row in found]
    assert [datetime.fromisoformat(change["found"]).timestamp() * 1e9 for change in changes] == [
        pytest.approx(at) for at in times
    ]


def test_several_classes(collector: Served) -> None:
    model = preprocessing.StandardScaler() | naive_bayes.GaussianNB()
    theirs = {
        "accuracy": metrics.Accuracy(),
        "precision": metrics.MacroPrecision(),
        "recall": metrics.MacroRecall(),
        "f1": metrics.MacroF1(),
        "cohen_kappa": metrics.CohenKappa(),
    }
    said: list[str] = []

    def answer(x: dict[str, Any]) -> dict[str, Any]:
        said.append(str(model.predict_one(x) or "none"))
        return {semconv.TASK_TYPE: semconv.MULTICLASS, semconv.OUTPUT_CLASS: said[-1]}

    def learn(x: dict[str, Any], y: str) -> dict[str, Any]:
        for metric in theirs.values():
            metric.update(y, said[-1])
        model.learn_one(x, y)
        return {"class": y}

    served(collector, "segments", datasets.ImageSegments(), answer, learn)
    (window,) = asked(collector.api, "segments", "quality")["windows"]
    same(window["metrics"], {name: metric.get() for name, metric in theirs.items()})


def test_numbers(collector: Served) -> None:
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    theirs = {
        "mean_absolute_error": metrics.MAE(),
        "mean_squared_error": metrics.MSE(),
        "root_mean_squared_error": metrics.RMSE(),
        "r2_score": metrics.R2(),
    }
    said: list[float] = []

    def answer(x: dict[str, Any]) -> dict[str, Any]:
        said.append(float(model.predict_one(x)))
        return {semconv.TASK_TYPE: semconv.REGRESSION, semconv.OUTPUT_VALUE: said[-1]}

    def learn(x: dict[str, Any], y: float) -> dict[str, Any]:
        for metric in theirs.values():
            metric.update(y, said[-1])
        model.learn_one(x, y)
        return {"value": y}

    served(collector, "approval", datasets.TrumpApproval(), answer, learn)
    (window,) = asked(collector.api, "approval", "quality")["windows"]
    same(window["metrics"], {name: metric.get() for name, metric in theirs.items()})
