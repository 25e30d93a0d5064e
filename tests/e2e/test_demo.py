"""`inferspan demo`: the whole way, short, with a real kill and scikit-learn as the judge."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collector_process import COMMAND, inferspan, models, serving
from typer.testing import CliRunner

from inferspan_collector.cli import app
from inferspan_collector.cli.demo import clinic, processes
from inferspan_collector.cli.demo.clinic import VISITS_PER_SECOND, Plan
from inferspan_collector.cli.demo.names import CHANGED, HOSPITALS, MODEL, POSITIVE, SERVICE
from inferspan_collector.cli.demo.verdict import Comparison, different
from inferspan_collector.cli.exits import Exit
from inferspan_collector.estimates.confidence_based import Binary
from servers.running import Jaeger
from waiting import wait_until

SECONDS = 8
VISITS = SECONDS * VISITS_PER_SECOND


def played(*arguments: str) -> tuple[dict[str, Any], str]:
    done = inferspan("demo", "--seconds", str(SECONDS), "--json", *arguments)
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary, done.stderr


def check(summary: dict[str, Any]) -> None:
    assert summary["ok"] is True
    assert summary["different"] == []
    assert summary["figures"] > 100
    assert summary["predictions"] == VISITS
    assert VISITS * 0.9 < summary["labelled"] < VISITS
    accuracy = summary["accuracy"]
    assert set(accuracy) == set(HOSPITALS)
    assert accuracy[CHANGED]["changed"]["high"] < accuracy[CHANGED]["before"]["low"]
    assert accuracy[CHANGED]["fixed"]["low"] > accuracy[CHANGED]["changed"]["high"]
    # So short a demo has few labels to learn from, and then nothing is estimated.
    expected = summary["expected"]
    assert expected is None or expected["now"]["high"] < expected["before"]["low"]
    for mistake in summary["mistakes"]:
        assert len(mistake["trace_id"]) == 32
        assert mistake["predicted"] != mistake["expected"]


def test_every_figure_is_scikit_learns_after_a_kill_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As `make demo` runs it: what is named next has to work from there.
    monkeypatch.setenv("PATH", os.defpath)
    summary, story = played("--data", str(tmp_path / "data"))
    check(summary)
    assert summary["survived_kill"] is True
    assert "kill -9" in story
    assert "as before" in story
    assert "by other names" in story
    lines = story.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert f"the same in Jaeger: {COMMAND} demo --jaeger URL" in story
    assert f"a collector that stays: {COMMAND} serve" in story
    assert any(line.startswith("✓ all") and line.endswith("per version") for line in lines)
    with serving(tmp_path / "data") as served:
        (model,) = models(served.api)
        assert (model["model"], model["predictions"]) == (MODEL, VISITS)


def test_the_scores_alone_say_that_the_accuracy_falls_and_how_far() -> None:
    patients = clinic.load_patients()
    pipeline = clinic.train(patients)
    malignant = list(pipeline.classes_).index(POSITIVE)
    rows = patients.held_out[:, : clinic.MEASUREMENTS]
    means = pipeline[0].mean_
    filled = np.array([clinic.filled_in(row, means) for row in rows])

    def scores(given: Any) -> Any:
        return pipeline.predict_proba(given)[:, malignant]

    fitted = Binary.fitted(scores(rows), patients.malignant)
    for given, floor, ceiling in ((rows, 0.9, 1.0), (filled, 0.55, 0.75)):
        said = scores(given) > 0.5
        estimated = fitted.estimates(scores(given), said)["accuracy"]
        true = float((said == patients.malignant).mean())
        assert estimated.low is not None
        assert estimated.high is not None
        assert estimated.low <= true <= estimated.high
        assert floor < true < ceiling


def test_a_running_collector_is_used_and_left_alive(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        summary, _ = played("--api", served.api, "--otlp", served.otlp_http)
        check(summary)
        assert summary["survived_kill"] is None
        assert served.process.poll() is None
        (model,) = models(served.api)
        assert model["predictions"] == VISITS


@pytest.mark.real
def test_mistakes_stand_in_a_real_jaeger(jaeger: Jaeger) -> None:
    summary, story = played("--jaeger", jaeger.otlp_http, "--jaeger-ui", jaeger.query)
    check(summary)
    for mistake in summary["mistakes"]:
        assert f"{jaeger.query}/trace/{mistake['trace_id']}" in story
        spans = wait_until(
            lambda trace=mistake["trace_id"]: whole_trace(jaeger, trace), 30.0, "the evaluation"
        )
        names = {span["operationName"]: span["service"] for span in spans}
        assert names == {
            f"predict {MODEL}": SERVICE,
            f"features {MODEL}": SERVICE,
            f"scale {MODEL}": SERVICE,
            f"classify {MODEL}": SERVICE,
            f"evaluate {MODEL}": f"{SERVICE}-quality",
        }
        assert [span["warnings"] for span in spans if span.get("warnings")] == []


def whole_trace(jaeger: Jaeger, trace_id: str) -> list[dict[str, Any]]:
    """A prediction's spans once its evaluation is among them."""
    spans = jaeger.trace(trace_id)
    evaluated = any(span["operationName"].startswith("evaluate") for span in spans)
    return spans if evaluated else []


def test_a_collector_that_does_not_start_says_why_and_a_slow_one_what_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE_SECONDS", 0.0)
    taken = tmp_path / "a-file"
    taken.write_text("no directory")
    said: list[str] = []
    collector = processes.EmbeddedCollector(taken, None, tmp_path, said.append)
    with pytest.raises(processes.DemoFailed, match=r"ended with code \d+:\n.*a-file"):
        collector.start()
    assert "compiles" in "".join(said)


def test_nothing_listens_is_said_before_anything_starts() -> None:
    done = inferspan("demo", "--api", "http://127.0.0.1:1")
    assert done.returncode == Exit.UNREACHABLE
    assert "inferspan serve" in done.stderr


def test_both_ports_are_asked_before_anything_starts(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        done = inferspan("demo", "--api", served.api, "--otlp", "http://127.0.0.1:1")
    assert done.returncode == Exit.UNREACHABLE
    assert "--otlp URL" in done.stderr


def test_scikit_learn_is_asked_for_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == Exit.USAGE
    assert result.stderr.splitlines() == [
        "inferspan: the demo trains a scikit-learn model: pip install 'inferspan-collector[demo]'"
    ]


def test_the_same_seed_plays_the_same() -> None:
    first, again, other = Plan(SECONDS, 7), Plan(SECONDS, 7), Plan(SECONDS, 8)

    def course(plan: Plan) -> list[object]:
        return [(plan.hospital(v), plan.actual(v), plan.labels(v)) for v in range(plan.visits)]

    assert course(first) == course(again)
    assert course(first) != course(other)


def test_labels_come_late_shuffled_twice_and_corrected() -> None:
    plan = Plan(36, 7)
    labels = [plan.labels(visit) for visit in range(plan.visits)]
    events = [event for of_visit in labels for event in of_visit]
    assert all(event.delay > 0 for event in events)
    due = sorted(events, key=lambda event: event.visit / VISITS_PER_SECOND + event.delay)
    assert [event.visit for event in due] != sorted(event.visit for event in due)
    kinds = Counter(tuple(event.revision for event in of_visit) for of_visit in labels)
    assert set(kinds) == {(), (0,), (0, 0), (0, 1)}
    for visit, of_visit in enumerate(labels):
        if len(of_visit) == 2 and of_visit[1].revision == 1:
            wrong, right = of_visit
            assert wrong.actual != right.actual == plan.actual(visit)
            assert wrong.delay < right.delay


def test_only_the_changed_hospital_has_other_names() -> None:
    plan = Plan(36, 7)
    names = {(plan.hospital(v), plan.minute(v) >= 12, plan.names(v)) for v in range(plan.visits)}
    assert {each for each in names if each[2] == "new"} == {(CHANGED, True, "new")}
    assert len(names) == 2 * len(HOSPITALS)


@pytest.mark.parametrize(
    ("ours", "theirs", "equal"),
    [
        (0.1 + 0.2, 0.3, True),
        (0.3 + 1e-11, 0.3, False),
        (None, float("nan"), True),
        (None, 0.0, False),
        (0.0, float("nan"), False),
        (480, 480, True),
        (481, 480, False),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]], True),
        ([[1, 2], [4, 3]], [[1, 2], [3, 4]], False),
        (None, 480, False),
    ],
)
def test_a_figure_that_differs_is_found(ours: object, theirs: object, equal: bool) -> None:
    comparison = Comparison("all", "figure", ours, theirs)
    assert different([comparison]) == ([] if equal else [comparison])
