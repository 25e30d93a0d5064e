"""The whole way: decorators → OTLP → collector → API and Jaeger, in any order, through a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from replaying import Recording, ServedCollector, record, send_with_a_kill, served
from sklearn import metrics
from workload import CORRECTED, DELETED, SECOND_TARGET

from inferspan_collector.cli.demo import names
from servers.running import Jaeger
from waiting import wait_until

PREDICTIONS = 2_000
SERVICE = "whole-way"
SECONDS = 60.0
SCHEMA = Path(__file__).parents[1] / "collector/data/model_quality.schema.json"


@pytest.fixture(scope="module")
def recorded() -> Recording:
    """The demo's model, served and labelled once; every test sends it in its own order."""
    made = record(PREDICTIONS, SERVICE)
    assert len(made.rows) == PREDICTIONS
    return made


def truth(rows: Iterable[dict[str, Any]], target: str) -> tuple[list[str], list[str]]:
    """(actual, predicted) of the labelled rows."""
    labelled = [row for row in rows if row["truth"].get(target) is not None]
    return [row["truth"][target] for row in labelled], [row["predicted"] for row in labelled]


def check_window(window: dict[str, Any], rows: list[dict[str, Any]], target: str) -> None:
    """One window of the API against scikit-learn on the same rows: counts, matrix, per class."""
    actual, predicted = truth(rows, target)
    assert window["predictions"] == len(rows)
    assert window["labeled"] == len(actual)
    assert window["coverage"] == pytest.approx(len(actual) / len(rows), abs=1e-12)
    classes = sorted({*actual, *predicted})
    assert window["confusion"]["classes"] == classes
    expected = metrics.confusion_matrix(actual, predicted, labels=classes).tolist()
    assert window["confusion"]["actual_by_predicted"] == expected
    assert window["latency"]["count"] == len(rows)
    assert 0 < window["latency"]["p50"] <= window["latency"]["p95"] <= window["latency"]["p99"]
    table = metrics.precision_recall_fscore_support(
        actual, predicted, labels=classes, zero_division=0
    )
    for i, name in enumerate(classes):
        found = window["per_class"][name]
        assert found["support"] == table[3][i]
        for key, column in zip(("precision", "recall", "f1"), table, strict=False):
            value = found[key]["value"] if isinstance(found[key], dict) else found[key]
            assert value == pytest.approx(column[i], abs=1e-12)


def check_averages(collector: ServedCollector, rows: list[dict[str, Any]], target: str) -> None:
    """Every average of the API against scikit-learn."""
    actual, predicted = truth(rows, target)
    for average in ("binary", "macro", "micro", "weighted"):
        (window,) = quality(collector, target, average=average)
        options = {"average": average, "zero_division": 0}
        if average == "binary":
            options["pos_label"] = names.POSITIVE
        found = {name: figure["value"] for name, figure in window["metrics"].items()}
        expected = {
            "accuracy": metrics.accuracy_score(actual, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(actual, predicted),
            "precision": metrics.precision_score(actual, predicted, **options),
            "recall": metrics.recall_score(actual, predicted, **options),
            "f1": metrics.f1_score(actual, predicted, **options),
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-12), (average, name)
        assert window["metrics"]["accuracy"]["n"] == len(actual)


def quality(collector: ServedCollector, target: str, **parameters: str) -> list[dict[str, Any]]:
    answer = collector.get(
        f"/api/v1/models/{names.MODEL}/quality", every="all", target=target, **parameters
    )
    windows: list[dict[str, Any]] = answer["windows"]
    return windows


def check_everything(collector: ServedCollector, recorded: Recording) -> None:
    """Whole, per version and per hospital, for both targets."""
    for target in ("default", SECOND_TARGET):
        (window,) = quality(collector, target)
        check_window(window, recorded.rows, target)
        check_averages(collector, recorded.rows, target)
        for by, key in (("version", "version"), (f"slice.{'hospital'}", "hospital")):
            groups = quality(collector, target, by=by)
            assert len(groups) == len({row[key] for row in recorded.rows})
            for group in groups:
                rows = [row for row in recorded.rows if row[key] == group["group"][by]]
                check_window(group, rows, target)


def test_the_recording_holds_what_it_should(recorded: Recording) -> None:
    labelled = sum(row["truth"]["default"] is not None for row in recorded.rows)

    assert labelled == PREDICTIONS * 95 // 100 - DELETED
    assert CORRECTED > 0
    assert sum(SECOND_TARGET in row["truth"] for row in recorded.rows) == -(-PREDICTIONS // 3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_figures_equal_scikit_learns_in_any_order_of_arrival_through_a_kill(
    recorded: Recording, tmp_path: Path, seed: int
) -> None:
    with served(tmp_path / "data", "127.0.0.1:0") as collector:
        send_with_a_kill(collector, recorded.shuffled(seed))

        check_everything(collector, recorded)


@pytest.mark.real
def test_a_real_jaeger_shows_the_same(recorded: Recording, tmp_path: Path, jaeger: Jaeger) -> None:
    with served(tmp_path / "data", jaeger.api, "--jaeger", jaeger.otlp_http) as collector:
        for body in recorded.predictions:
            jaeger.send(body)
        send_with_a_kill(collector, recorded.shuffled(4))

        check_everything(collector, recorded)
        check_traces(jaeger)
        check_monitor(jaeger, recorded)
        check_quality_page(collector, recorded, jaeger)


def check_traces(jaeger: Jaeger) -> None:
    """Traces hold the prediction, its stages and its evaluation, and no warning."""
    twin = f"{SERVICE}-quality"

    def evaluated() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = jaeger.get("/api/traces", service=twin, limit=3_000)["data"]
        return [trace for trace in found if len(trace["spans"]) >= 5]

    traces = wait_until(evaluated, SECONDS, "evaluation spans in Jaeger")
    for trace in traces:
        operations = {span["operationName"] for span in trace["spans"]}
        assert operations == {
            f"predict {names.MODEL}",
            f"features {names.MODEL}",
            f"scale {names.MODEL}",
            f"classify {names.MODEL}",
            f"evaluate {names.MODEL}",
        }
        assert [span["warnings"] for span in trace["spans"] if span["warnings"]] == []


def check_monitor(jaeger: Jaeger, recorded: Recording) -> None:
    """The Monitor tab's own questions, asked for a moment when every prediction is in range."""
    actual, predicted = truth(recorded.rows, "default")
    wrong = 1 - metrics.accuracy_score(actual, predicted)
    # The value at a minute counts whole minutes before it; two minutes from now all are in.
    moment = {
        "endTs": (time.time_ns() // 1_000_000) + 120_000,
        "lookback": 180_000,
        "step": 60_000,
        "ratePer": 600_000,
    }

    def last(question: str, service: str, **more: object) -> float:
        answer = jaeger.get(f"/api/metrics/{question}", service=service, **moment, **more)
        (series,) = answer["metrics"]
        return float(series["metricPoints"][-1]["gaugeValue"]["doubleValue"])

    assert last("errors", f"{SERVICE}-quality") == pytest.approx(wrong, abs=0.01)
    assert last("calls", SERVICE) == pytest.approx(PREDICTIONS / 600, rel=1e-6)
    assert last("calls", f"{SERVICE}-quality") == pytest.approx(len(actual) / 600, rel=1e-6)
    assert last("errors", SERVICE) == 0.0
    assert 0 < last("latencies", SERVICE, quantile=0.95) < 10_000


def check_quality_page(collector: ServedCollector, recorded: Recording, jaeger: Jaeger) -> None:
    """The Model Quality reply fits the page, and its counts add up to the predictions."""
    actual, predicted = truth(recorded.rows, "default")
    right = sum(a == p for a, p in zip(actual, predicted, strict=True))
    reply = collector.get("/jaeger/quality-metrics", service=SERVICE, hours=1)

    jsonschema.validate(reply, json.loads(SCHEMA.read_text()))
    main = reply["metrics"][0]
    assert main["name"].startswith(f"accuracy {names.MODEL}")
    assert main["passCount"] == right
    assert main["failureCount"] == len(actual) - right
    assert main["passCount"] + main["failureCount"] + main["exemptionCount"] == PREDICTIONS
    assert main["failureExamples"]
    for example in (*main["passExamples"], *main["failureExamples"]):
        assert jaeger.trace(example["traceID"])
    assert {client["version"] for client in reply["clients"]} == {
        f"{names.MODEL} v{version}" for version in ("1", "2")
    }
