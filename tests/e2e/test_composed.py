"""The whole set, from the compose file's own files: a fault is seen wherever people look.

The example serves, breaks half-way and stops; it says itself how many of its answers were right.
All places, asked from outside only, must say the same, whichever of them was killed in between.
"""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dashboards
import pytest
from seen_from_outside import MODEL, SERVICE, TWIN, Outside

from servers.composed import Composed
from waiting import wait_until

pytestmark = pytest.mark.real

SECONDS = 90.0
LOAD = ("--per-second", "60")
KILLED = ("gateway", "inferspan", "jaeger", "prometheus", "alertmanager")
HEALTHY = 0.85
"""The example is right of 91 % of its orders, and of 51 % once amounts come in cents."""
BROKEN = 0.72
"""So far below the threshold of collector/inferspan.yaml, 0.8, that the whole interval is."""


@dataclass(frozen=True)
class Truth:
    """What the example says of itself."""

    orders: int
    right: int
    wrong: int
    failed: int = 0

    @property
    def accuracy(self) -> float:
        return self.right / (self.right + self.wrong)


def drive(stack: Composed, killed: tuple[str, ...] = ()) -> Truth:
    """Serve well, kill and restart, break, and stop; returns once everything is counted."""
    outside = Outside(stack)
    stack.start("example", *LOAD)
    wait_until(lambda: outside.counted()[1] >= 300, SECONDS, "labelled orders")
    assert outside.accuracy() > HEALTHY
    outside.prometheus.wait_for(f"{gauge()} > {HEALTHY}")
    if "jaeger" in stack.services:
        errors = outside.monitor_errors(TWIN)
        assert errors is not None
        assert errors < 1 - HEALTHY
    for name in killed:
        stack.restart(name)
    # A counter of what is refused is there once something was, and gone with the process.
    assert outside.send_label_lines('{"model": "fraud"}\n').status_code == 400
    stack.running["example"].process.send_signal(signal.SIGUSR1)
    wait_until(lambda: outside.accuracy() < BROKEN, SECONDS, "the fault to show")
    truth = Truth(**json.loads(stack.stop("example")))
    wait_until(
        lambda: outside.counted() == (truth.orders, truth.right + truth.wrong),
        SECONDS,
        "every order and every label to be counted once",
    )
    return truth


def gauge(version: str = "7") -> str:
    """The gauge of a version's accuracy."""
    labels = f'model="{MODEL}", version="{version}", metric="accuracy", window="1h"'
    return f"inferspan_quality_score{{{labels}}}"


def check_api_and_page(outside: Outside, truth: Truth) -> None:
    assert outside.accuracy() == pytest.approx(truth.accuracy, abs=1e-12)
    assert outside.window()["errors"] == truth.failed
    right = f"{100 * truth.accuracy:.1f} %"

    def shown() -> bool:
        first = outside.page()
        return right in first and re.search(r"[1-9]\d* alerts?\b", first) is not None

    wait_until(shown, SECONDS, f"the page to say {right}, and that it alerts")
    assert f"/models/{MODEL}" in outside.page()
    assert "alert" in outside.page(f"/models/{MODEL}")


def check_prometheus(outside: Outside, truth: Truth) -> None:
    """Gauges by the predictions' time, counters by arrival: both are the truth, with the drop."""
    prometheus = outside.prometheus
    score = f'model="{MODEL}", metric="accuracy", average="", window="1h"'
    accuracy = (
        f"sum(inferspan_quality_score{{{score}}} * inferspan_quality_score_n{{{score}}}) / "
        f"sum(inferspan_quality_score_n{{{score}}})"
    )
    for outcome, n in (("correct", truth.right), ("incorrect", truth.wrong)):
        counter = f'sum(inferspan_quality_outcomes_total{{model="{MODEL}", outcome="{outcome}"}})'
        wait_until(
            lambda counter=counter, n=n: prometheus.query(f"{counter} == {n}"),
            SECONDS,
            f"{counter} to be {n}",
        )
    wait_until(
        lambda: prometheus.query(accuracy)[0][1] == pytest.approx(truth.accuracy, abs=1e-9),
        SECONDS,
        "the gauges to be the truth",
    )
    ((_, drop),) = prometheus.query(f"max_over_time({gauge()}[10m]) - {gauge()}")
    assert drop > 0.05


def check_alert(outside: Outside) -> None:
    """Who is told hears of the figure, its interval and n."""

    def below() -> list[dict[str, Any]]:
        return [
            alert
            for message in outside.told()
            for alert in message["alerts"]
            if alert["labels"]["alertname"] == "InferspanQualityBelowThreshold"
            and alert["labels"]["metric"] == "accuracy"
        ]

    alert = wait_until(below, SECONDS, "the webhook to be told")[0]
    assert alert["labels"]["model"] == MODEL
    said = alert["annotations"]
    low, high = map(float, said["interval"].split(" to "))
    assert low < float(said["value"]) < high < 0.8
    assert int(said["n"]) >= 30
    assert said["service"] == SERVICE
    words = wait_until(outside.words, SECONDS, "the words")
    assert f"95 % interval {said['interval']}, n = {said['n']}" in words
    assert "/d/inferspan-on-call?var-model=fraud" in words
    assert f"/search?service={TWIN}" in words


def check_dashboards(outside: Outside) -> None:
    """Every query of every panel and variable has an answer."""
    prometheus = outside.prometheus
    try:
        wait_until(lambda: not dashboards.unanswered(prometheus), SECONDS, "every panel's answer")
    except TimeoutError:
        assert dashboards.unanswered(prometheus) == []


def check_exemplar_leads_to_the_mistake(outside: Outside) -> None:
    """From a counter of wrong predictions in Prometheus to one of them in Jaeger."""
    counter = f'inferspan_quality_outcomes_total{{model="{MODEL}", outcome="incorrect"}}'
    exemplars = outside.prometheus.exemplars(counter)
    assert exemplars
    # Prometheus keeps the exemplars of all scrapes: the newest is of after the last kill.
    newest = max(exemplars, key=lambda exemplar: float(exemplar["timestamp"]))
    spans = wait_until(
        lambda: (
            found if len(found := outside.jaeger.trace(newest["labels"]["trace_id"])) > 1 else 0
        ),
        SECONDS,
        "the exemplar's trace",
    )
    (predicted,) = [span for span in spans if span["operationName"] == f"predict {MODEL}"]
    assert predicted["spanID"] == newest["labels"]["span_id"]
    (evaluated,) = [span for span in spans if span["operationName"] == f"evaluate {MODEL}"]
    tags = {tag["key"]: tag["value"] for tag in evaluated["tags"]}
    assert tags["inferspan.evaluation.outcome"] == "incorrect"
    assert tags["inferspan.evaluation.predicted"] != tags["inferspan.evaluation.expected"]


def check_jaeger(outside: Outside, truth: Truth) -> None:
    """Monitor, Model Quality and traces."""
    errors = outside.monitor_errors(TWIN)
    assert errors == pytest.approx(1 - truth.accuracy, abs=0.01)
    reply = outside.get("/jaeger/quality-metrics", service=SERVICE, hours=1)
    (main,) = [each for each in reply["metrics"] if each["name"].startswith(f"accuracy {MODEL}")]
    assert (main["passCount"], main["failureCount"]) == (truth.right, truth.wrong)
    wait_until(
        lambda: len(outside.mistakes()) == truth.wrong, SECONDS, "every mistake to be in Jaeger"
    )


def test_a_fault_is_seen_everywhere_whatever_is_killed(tmp_path: Path) -> None:
    stack = Composed(tmp_path)
    with stack.up():
        truth = drive(stack, KILLED)
        outside = Outside(stack)
        check_dashboards(outside)
        check_alert(outside)
        check_api_and_page(outside, truth)
        check_prometheus(outside, truth)
        check_jaeger(outside, truth)
        check_exemplar_leads_to_the_mistake(outside)


def test_the_same_without_jaeger(tmp_path: Path) -> None:
    """Prometheus, what Grafana asks, the API and the page are the contract; Jaeger is a view."""
    stack = Composed(tmp_path, without=("jaeger",))
    with stack.up():
        truth = drive(stack)
        outside = Outside(stack)
        check_dashboards(outside)
        check_alert(outside)
        check_dashboards(outside)
        check_alert(outside)
        check_api_and_page(outside, truth)
        check_prometheus(outside, truth)
