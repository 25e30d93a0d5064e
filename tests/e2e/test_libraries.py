"""Zero code: a program that imports nothing of ours, and figures equal to the library's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collector_process import DEADLINE_SECONDS, Served, serving
from sklearn import metrics

WORKLOAD = Path(__file__).with_name("library_workload.py")
LIBRARIES = ("sklearn", "xgboost", "lightgbm", "catboost")
OPTIONS = {"prediction_id": "index", "version": 7}
EXACT, RECORDS = 1e-12, 1e-6
"""What figures may be off by: slim records carry scores in float32."""


def answers_of(served: Served, workload: Path, **environment: str) -> dict[str, Any]:
    """Run a workload under `opentelemetry-instrument`; what it answered."""
    none = dict.fromkeys(("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")
    done = subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, workload],
        env={
            **os.environ,
            **none,
            "OTEL_EXPORTER_OTLP_ENDPOINT": served.otlp_http,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "INFERSPAN_INSTRUMENT": json.dumps(dict.fromkeys(LIBRARIES, OPTIONS)),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=5 * DEADLINE_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def label(served: Served, model: str, answers: dict[str, Any], member: str) -> None:
    lines = [
        json.dumps({"model": model, "prediction_id": key, member: truth})
        for key, truth in zip(answers["ids"], answers["truth"], strict=True)
    ]
    request = urllib.request.Request(
        f"{served.api}/v1/labels",
        "\n".join(lines).encode(),
        {"Content-Type": "application/x-ndjson"},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
        results = [json.loads(line)["result"] for line in answer]
    assert results == ["joined"] * len(lines)


def quality(served: Served, model: str, average: str | None = None) -> dict[str, Any]:
    url = f"{served.api}/api/v1/models/{model}/quality?every=all&by=version"
    url += f"&average={average}" if average else ""
    with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:
        (window,) = json.load(answer)["windows"]
    assert window["group"] == {"version": "7"}
    return dict(window)


def values_of(window: dict[str, Any], *names: str) -> dict[str, float]:
    return {name: window["metrics"][name]["value"] for name in names}


def check_binary(window: dict[str, Any], answers: dict[str, Any], off_by: float) -> None:
    truth, score = np.array(answers["truth"]), np.array(answers["said"])[:, 1]
    predicted = (score > 0.5).astype(int)
    names = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier_score")
    assert values_of(window, *names) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "precision": metrics.precision_score(truth, predicted),
            "recall": metrics.recall_score(truth, predicted),
            "f1": metrics.f1_score(truth, predicted),
            "roc_auc": metrics.roc_auc_score(truth, score),
            "log_loss": metrics.log_loss(truth, score),
            "brier_score": metrics.brier_score_loss(truth, score),
        },
        rel=off_by,
    )
    matrix = metrics.confusion_matrix(truth, predicted).tolist()
    assert window["confusion"] == {"classes": ["0", "1"], "actual_by_predicted": matrix}


def check_several(window: dict[str, Any], answers: dict[str, Any], off_by: float) -> None:
    truth, scores = np.array(answers["truth"]), np.array(answers["said"])
    predicted = scores.argmax(1)
    assert values_of(window, "accuracy", "f1", "log_loss") == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "f1": metrics.f1_score(truth, predicted, average="macro"),
            "log_loss": metrics.log_loss(truth, scores),
        },
        rel=off_by,
    )


def check_numbers(window: dict[str, Any], answers: dict[str, Any], off_by: float) -> None:
    truth, said = np.array(answers["truth"]), np.array(answers["said"])
    assert values_of(window, "mean_absolute_error", "r2_score") == pytest.approx(
        {
            "mean_absolute_error": metrics.mean_absolute_error(truth, said),
            "r2_score": metrics.r2_score(truth, said),
        },
        rel=off_by,
    )


CHECKS: dict[str, tuple[Callable[..., None], str, str | None]] = {
    "LogisticRegression": (check_binary, "class", None),
    "XGBClassifier": (check_binary, "class", None),
    "RandomForestClassifier": (check_several, "class", "macro"),
    "LinearRegression": (check_numbers, "value", None),
    "LGBMRegressor": (check_numbers, "value", None),
    "CatBoostClassifier": (check_several, "class", "macro"),
    "CatBoostRegressor": (check_numbers, "value", None),
}


@pytest.mark.parametrize(
    ("sampler", "off_by"), [("always_on", EXACT), ("always_off", RECORDS)], ids=["spans", "records"]
)
def test_figures_are_the_librarys_own(sampler: str, off_by: float, tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        answers = answers_of(served, WORKLOAD, OTEL_TRACES_SAMPLER=sampler)
        with urllib.request.urlopen(f"{served.api}/api/v1/models") as found:
            made = {model["model"]: model["predictions"] for model in json.load(found)}
        assert made == {name: len(of["ids"]) for name, of in answers.items()}
        for model, (check, member, average) in CHECKS.items():
            label(served, model, answers[model], member)
            check(quality(served, model, average), answers[model], off_by)
