"""Figures are the same whatever share of the predictions leaves a full span."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from replaying import ServedCollector, served

from inferspan_collector.quality.measures import class_scores

WORKLOAD = Path(__file__).with_name("sampled_workload.py")
CONFIG = "{models: {price: {tolerance: 0.5}}, publish: {figures_seconds: 0}}"
MODELS = {"risk": 1_100, "digit": 1_100, "price": 1_100, "tags": 300}
GROUPS = ("", "slice.country", "version")
LATENCIES = ("p50", "p95", "p99")
SERIES = (
    "inferspan_quality_outcomes_total",
    "inferspan_quality_retracted_total",
    "inferspan_quality_score",
    "inferspan_quality_coverage_ratio",
    "inferspan_stored_predictions",
    "inferspan_join_pending",
)
CLOCK = frozenset(("start", "end", "from", "to", "received"))
LEARNT = frozenset(("lower_threshold", "upper_threshold", "alert", "alerts"))
PROBABLE = frozenset(class_scores.FIGURES) - {"expected_calibration_error"}
"""Figures of several classes that need the probabilities of all of them."""


class Run:
    """What a collector says after the workload ran, and how it came to know."""

    def __init__(self, directory: Path, ratio: str, records: str) -> None:
        directory.mkdir()
        config = directory / "inferspan.yaml"
        config.write_text(CONFIG)
        with served(directory / "data", "127.0.0.1:0", "--config", str(config)) as collector:
            predict(collector, ratio, records)
            self.figures = {
                (model, by): figures(collector, model, by) for model in MODELS for by in GROUPS
            }
            self.mistakes = {model: mistakes(collector, model) for model in MODELS}
            keep_baseline(collector, directory / "evaluated.csv")
            self.foreseen = {
                (question, by): foreseen(collector, question, by)
                for question in ("drift", "estimates")
                for by in ("", "slice.country")
            }
            # A scrape waits for nothing; what has just been asked for has been written.
            self.metrics = metrics(collector)

    def counted(self, series: str) -> int:
        """The sum of the series whose name and labels begin so."""
        return sum(int(float(n)) for name, n in self.metrics.items() if name.startswith(series))


def predict(collector: ServedCollector, ratio: str, records: str) -> None:
    finished = subprocess.run(
        [sys.executable, str(WORKLOAD), ratio, records],
        env={"PATH": os.environ["PATH"], "OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp_http},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def keep_baseline(collector: ServedCollector, path: Path) -> None:
    """What `risk` was like before: smaller amounts, and scores that kept their promise."""
    chance = random.Random(5)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["predicted", "actual", "score", "feature.amount", "feature.country"])
        for _ in range(2_000):
            score = chance.random()
            said, truth = ("fraud" if p < score else "legit" for p in (0.5, chance.random()))
            country = chance.choice(["DE", "FR", "NL"])
            rows.writerow([said, truth, score, chance.uniform(1, 400), country])
    kept = subprocess.run(
        [
            *(sys.executable, "-m", "inferspan_collector.cli", "baseline", "risk", str(path)),
            *("--positive-class", "fraud", "--api", collector.api),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert kept.returncode == 0, kept.stderr


def foreseen(collector: ServedCollector, question: str, by: str) -> Any:
    """What is said of `risk` before labels come: drift, or estimates.

    Without the clock, and of slices without thresholds: those are learnt from the run's own windows
    of time, where the baseline's file has none.
    """
    asked = {"every": "all", "by": by} if by else {"every": "all"}
    answer = collector.get(f"/api/v1/models/risk/{question}", **asked)
    return without(answer, CLOCK | LEARNT if by else CLOCK)


def without(answer: Any, names: frozenset[str]) -> Any:
    """An answer without the fields of some names."""
    if isinstance(answer, dict):
        return {n: without(part, names) for n, part in answer.items() if n not in names}
    return [without(part, names) for part in answer] if isinstance(answer, list) else answer


def figures(collector: ServedCollector, model: str, by: str) -> list[dict[str, Any]]:
    """Everything but latency and the clock: calls take their own time in every run."""
    question = {"every": "all", "by": by} if by else {"every": "all"}
    windows = collector.get(f"/api/v1/models/{model}/quality", **question)["windows"]
    for window in windows:
        window["latency"] = window["latency"]["count"]
        del window["start"], window["end"]
        for name in LATENCIES:
            window["metrics"].pop(name, None)
    return sorted(windows, key=lambda window: repr(window["group"]))


def mistakes(collector: ServedCollector, model: str) -> list[Any]:
    """What was wrong, as far as it does not depend on the run."""
    answer = collector.get(f"/api/v1/models/{model}/predictions", outcome="incorrect", limit=1_000)
    fields = ("index", "predicted", "score", "value", "slices", "version", "service", "environment")
    return sorted(repr([row[field] for field in fields]) for row in answer["predictions"])


def metrics(collector: ServedCollector) -> dict[str, str]:
    """Every series of /metrics: its name with labels, and its value."""
    lines = httpx.get(f"{collector.api}/metrics", timeout=60).text.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every prediction has its full span, and none a slim record."""
    return Run(tmp_path_factory.mktemp("whole") / "run", "1", "unsampled")


def test_the_reference_saw_full_spans_only(whole: Run) -> None:
    assert whole.counted('inferspan_accepted_records_total{signal="slim_records"') == 0
    for model, predictions in MODELS.items():
        (window,) = whole.figures[model, ""]
        assert window["predictions"] == predictions
        assert 0.85 < window["coverage"] < 0.95
        assert 0.4 < window["metrics"]["accuracy"]["value"] < 1
    columns = whole.foreseen["drift", ""]["columns"]
    assert {"feature.amount", "feature.country", "predicted.score"} <= columns.keys()
    for name in ("feature.amount", "feature.country"):
        assert any(figure["alerts"] == [True] for figure in columns[name]["figures"].values()), name
    assert whole.foreseen["estimates", ""]["method"] == "cbpe"
    (window,) = whole.figures["digit", ""]
    # Of four classes, one is always among the five likeliest.
    known = {name for name in PROBABLE if window["metrics"][name]["value"] is not None}
    assert known == PROBABLE - {"top_5_accuracy"}


@pytest.mark.parametrize(
    ("ratio", "records"),
    [("0.01", "unsampled"), ("0.1", "unsampled"), ("0", "all"), ("1", "all")],
)
def test_figures_are_equal_to_the_last_digit(
    whole: Run, tmp_path: Path, ratio: str, records: str
) -> None:
    sampled = Run(tmp_path / "run", ratio, records)

    assert sampled.counted('inferspan_accepted_records_total{signal="slim_records"') > 0
    assert sampled.figures == whole.figures
    assert sampled.foreseen == whole.foreseen
    assert sampled.mistakes == whole.mistakes
    assert shown(sampled) == shown(whole)
    if (ratio, records) == ("1", "all"):
        twice = sampled.counted('inferspan_duplicate_predictions_total{kind="retry"}')
        assert twice == sum(MODELS.values())


def shown(run: Run) -> dict[str, str]:
    """What /metrics says of predictions and their truth, latency left out."""
    return {
        name: value
        for name, value in run.metrics.items()
        if name.startswith(SERIES) and not any(f'metric="{p}"' in name for p in LATENCIES)
    }
