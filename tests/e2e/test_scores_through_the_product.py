"""Four versions of a model answer the same rows; labels come later, once for all of them.

The models are those of scikit-learn's example "Probability calibration curves". Spans in, labels as
separate records in another order, figures from the API: equal to scikit-learn's on the same rows.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collector_process import Served, asked, post, serving
from sklearn import metrics
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB

from inferspan import semconv
from inferspan_collector.testing import otlp_span, traces_request

MODEL = "probabilities"
ROWS, BATCH, HOUR_NS = 6_000, 500, 3_600_000_000_000


def answers() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The truths, and P(1) of each version."""
    x, y = make_classification(
        n_samples=ROWS + 1_000, n_features=20, n_informative=2, n_redundant=10, random_state=42
    )
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=ROWS, random_state=42)
    versions = {
        "logistic": LogisticRegression(),
        "bayes": GaussianNB(),
        "bayes-isotonic": CalibratedClassifierCV(GaussianNB(), cv=2, method="isotonic"),
        "bayes-sigmoid": CalibratedClassifierCV(GaussianNB(), cv=2, method="sigmoid"),
    }
    return test_y, {
        name: model.fit(train_x, train_y).predict_proba(test_x)[:, 1]
        for name, model in versions.items()
    }


def send(collector: Served, version: str, scores: np.ndarray, start_ns: int) -> None:
    for first in range(0, ROWS, BATCH):
        rows = range(first, first + BATCH)
        attributes: dict[str, Any] = {
            semconv.TASK_TYPE: semconv.BINARY,
            semconv.OPERATION_NAME: "predict",
            semconv.MODEL_NAME: MODEL,
            semconv.MODEL_VERSION: version,
            semconv.OUTPUT_POSITIVE_CLASS: "1",
            semconv.PREDICTION_COUNT: BATCH,
            semconv.PREDICTION_IDS: [f"row-{row}" for row in rows],
            semconv.OUTPUT_CLASSES_PREDICTED: [str(int(scores[row] >= 0.5)) for row in rows],
            semconv.OUTPUT_SCORES: [float(scores[row]) for row in rows],
        }
        span = otlp_span(f"{version} {first}", attributes, start_ns=start_ns)
        body = traces_request([span]).SerializeToString()
        post(f"{collector.otlp_http}/v1/traces", body, "application/x-protobuf")


def test_four_versions_on_the_same_rows(tmp_path: Path) -> None:
    truth, versions = answers()
    start_ns = (time.time_ns() // HOUR_NS - 2) * HOUR_NS
    lines = [
        json.dumps({"prediction_id": f"row-{row}", "model": MODEL, "class": str(label)})
        for row, label in enumerate(truth.tolist())
    ]
    random.Random(1).shuffle(lines)
    with serving(tmp_path / "data") as collector:
        # Half of the labels are there before two of the versions are.
        names = list(versions)
        send(collector, names[0], versions[names[0]], start_ns)
        send(collector, names[1], versions[names[1]], start_ns)
        labels = f"{collector.api}/v1/labels"
        post(labels, "\n".join(lines[: ROWS // 2]).encode(), "application/x-ndjson")
        send(collector, names[2], versions[names[2]], start_ns)
        send(collector, names[3], versions[names[3]], start_ns)
        post(labels, "\n".join(lines[ROWS // 2 :]).encode(), "application/x-ndjson")
        windows = asked(collector.api, MODEL, "quality", every="1h", by="version")["windows"]
    assert [window["group"]["version"] for window in windows] == sorted(versions)
    for window in windows:
        scores = versions[window["group"]["version"]]
        said = scores >= 0.5
        found = {name: figure["value"] for name, figure in window["metrics"].items()}
        assert window["labeled"] == ROWS
        exact = {
            "brier_score": metrics.brier_score_loss(truth, scores),
            "log_loss": metrics.log_loss(truth, scores),
            "precision": metrics.precision_score(truth, said),
            "recall": metrics.recall_score(truth, said),
            "f1": metrics.f1_score(truth, said),
            "roc_auc": metrics.roc_auc_score(truth, scores),
            "average_precision": metrics.average_precision_score(truth, scores),
        }
        for name, value in exact.items():
            assert found[name] == pytest.approx(value, rel=0, abs=1e-9), name
