"""The whole set, from the compose file's own files: a fault is seen wherever people look.

The example serves, breaks half-way and stops; it says itself how many of its answers were right.
All places, asked from outside only, must say the same, whichever of them is killed in between: one
after the other, in the stack that has seen the fault.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dashboards
import pytest
from seen_from_outside import GRAFANA, MODEL, SERVICE, TWIN, Outside

from servers.composed import Composed
from waiting import wait_until

pytestmark = pytest.mark.real

SECONDS = 90.0
LOAD = ("--per-second", "60")
ROUND = 60
"""Labelled orders before a kill, and after it."""
HEALTHY = 0.85
"""The example is right of 91 % of its orders, and of 51 % once amounts come in cents."""
BROKEN = 0.72
"""So far below the threshold of collector/inferspan.yaml, 0.8, that the whole interval is."""


@dataclass(frozen=True)
class Truth:
    """What the example says of itself."""

    orders: int = 0
    right: int = 0
    wrong: int = 0
    failed: int = 0

    def __add__(self, other: Truth) -> Truth:
        mine, theirs = vars(self), vars(other)
        return Truth(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def accuracy(self) -> float:
        return self.right / (self.right + self.wrong)


def drive(stack: Composed) -> Truth:
    """Serve well, break, and stop; returns once everything is counted."""
    outside = Outside(stack)
    stack.start("example", *LOAD)
    wait_until(lambda: outside.counted()[1] >= 300, SECONDS, "labelled orders")
    assert outside.accuracy() > HEALTHY
    outside.prometheus.wait_for(f"{gauge()} > {HEALTHY}")
    if "jaeger" in stack.services:
        errors = outside.monitor_errors(TWIN)
        assert errors is not None
        assert errors < 1 - HEALTHY
    # A counter of what is refused is there once something was, and gone with the process.
    assert outside.send_label_lines('{"model": "fraud"}\n').status_code == 400
    break_it(stack)
    wait_until(lambda: outside.accuracy() < BROKEN, SECONDS, "the fault to show")
    return stopped(stack, Truth())


def break_it(stack: Composed) -> None:
    """Let amounts come in cents from now on."""
    stack.running["example"].process.send_signal(signal.SIGUSR1)


def end_of_example(stack: Composed) -> Truth:
    """Stop it; what it did since it was started."""
    return Truth(**json.loads(stack.stop("example").splitlines()[-1]))


def stopped(stack: Composed, before: Truth) -> Truth:
    """End the example; what it and those before it did, once that is counted."""
    outside = Outside(stack)
    truth = before + end_of_example(stack)
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


def check_drop(outside: Outside) -> None:
    """Prometheus, asked what was, shows the fault."""
    prometheus = outside.prometheus
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
    assert float(said["threshold"]) == 0.8
    assert f"95 % interval {said['interval']}, threshold 0.8, n = {said['n']}" in words
    board = f"{GRAFANA}/d/inferspan-on-call?var-model={MODEL}"
    assert f"Grafana: {board}&var-version={alert['labels']['version']}" in words
    assert f"&service={TWIN}&tags=%7B%22inferspan.evaluation.outcome%22" in words


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
    """Model Quality and traces."""
    reply = outside.get("/jaeger/quality-metrics", service=SERVICE, hours=1)
    (main,) = [each for each in reply["metrics"] if each["name"].startswith(f"accuracy {MODEL}")]
    assert (main["passCount"], main["failureCount"]) == (truth.right, truth.wrong)
    wait_until(
        lambda: len(outside.mistakes()) == truth.wrong, SECONDS, "every mistake to be in Jaeger"
    )


class Fault:
    """A stack that has seen a fault, and all that its example did."""

    def __init__(self, stack: Composed) -> None:
        self.stack = stack
        self.truth = drive(stack)

    def serve_around(self, name: str) -> None:
        """Serve, kill and restart a service in the middle, and go on."""
        outside = Outside(self.stack)
        self.serve(ROUND)
        self.stack.restart(name)
        before = outside.counted()[1]
        wait_until(lambda: outside.counted()[1] >= before + ROUND, SECONDS, "orders after the kill")
        self.truth = stopped(self.stack, self.truth)

    def serve(self, labelled: int) -> None:
        """Start the example, broken, and return after so many of its labels."""
        outside = Outside(self.stack)
        before = outside.counted()[1]
        # All of them write to one log, one after the other.
        log = self.stack.directory / "example.log"
        said = log.read_text().count("orders come in")
        self.stack.start("example", *LOAD)
        wait_until(lambda: log.read_text().count("orders come in") > said, SECONDS, "orders")
        break_it(self.stack)
        wait_until(lambda: outside.counted()[1] >= before + labelled, SECONDS, "labelled orders")


@pytest.fixture(scope="module")
def fault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fault]:
    stack = Composed(tmp_path_factory.mktemp("composed"))
    with stack.up():
        yield Fault(stack)


def check_doctor(outside: Outside) -> None:
    """The whole set is well; each part has its lines."""
    found = outside.examined()
    wrong = {each["name"].partition(" ")[0] for each in found if each["state"] == "WRONG"}
    # A label was refused, which is forgotten where a test has killed the collector before.
    assert wrong <= {"inferspan_refused_records"}
    well = {(each["part"], each["name"]) for each in found if each["state"] == "ok"}
    scraped = f"{outside.api}/metrics scrape"
    assert {
        ("gateway", "otlphttp/inferspan sent_spans"), ("jaeger", "Monitor"),
        ("jaeger", "Monitor, latency"), ("jaeger", "Model Quality"), ("prometheus", scraped),
        ("prometheus", "inferspan_quality_score"), ("prometheus", "exemplars"),
    } <= well  # fmt: skip


def test_a_fault_is_seen_everywhere(fault: Fault) -> None:
    outside = Outside(fault.stack)
    errors = outside.monitor_errors(TWIN)
    assert errors == pytest.approx(1 - fault.truth.accuracy, abs=0.01)
    check_dashboards(outside)
    check_alert(outside)
    check_drop(outside)
    check_doctor(outside)
    check_everywhere(outside, fault.truth)


@pytest.mark.parametrize("name", ["gateway", "inferspan", "jaeger", "prometheus", "alertmanager"])
def test_whichever_is_killed_the_end_is_the_same(fault: Fault, name: str) -> None:
    fault.serve_around(name)
    check_everywhere(Outside(fault.stack), fault.truth)


def test_when_the_service_is_killed_all_places_agree_on_what_it_sent(fault: Fault) -> None:
    """What it had not sent died with it: nobody can know that, and all must know the rest."""
    outside = Outside(fault.stack)
    before = fault.truth
    fault.serve(ROUND)
    sent = outside.counted()
    fault.stack.kill("example")
    fault.serve(ROUND)
    last = end_of_example(fault.stack)

    def sent_and_last() -> Truth | None:
        window = outside.window()
        n, errors = window["labeled"], window["errors"]
        right = round(n * window["metrics"]["accuracy"]["value"])
        found = Truth(window["predictions"], right, n - right, errors)
        whole = found.orders >= sent[0] + last.orders and n >= sent[1] + last.right + last.wrong
        return found if whole and len(outside.mistakes()) == found.wrong else None

    fault.truth = wait_until(sent_and_last, SECONDS, "what was sent to be counted")
    assert fault.truth.right + fault.truth.wrong > before.right + before.wrong
    check_everywhere(outside, fault.truth)


def check_everywhere(outside: Outside, truth: Truth) -> None:
    """The API, the page, Prometheus, Alertmanager and Jaeger know the same end."""
    check_api_and_page(outside, truth)
    check_prometheus(outside, truth)
    wait_until(outside.alerting, SECONDS, "Alertmanager to hold the alert")
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
        check_drop(outside)
        check_api_and_page(outside, truth)
        check_prometheus(outside, truth)
