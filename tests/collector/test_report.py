"""`inferspan report`: estimate beside truth, for people, for a pull request, for a program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from baseline_files import baseline_of
from collector_process import Served, inferspan, send_spans, serving
from sklearn.metrics import accuracy_score, f1_score

from inferspan import semconv
from inferspan_collector import testing
from inferspan_collector.baselines import document
from inferspan_collector.cli.printable import printable
from inferspan_collector.cli.report import markdown, page
from inferspan_collector.cli.report.sections import sections_of

N = 600
HOSTILE = "<img src=x onerror=alert(1)>|`*@octocat*`[red]"
START_NS = testing.NOW_NS - N * 10_000_000_000


@dataclass
class Asked:
    """A collector with a model of two versions, and what is true of it."""

    served: Served
    predicted: list[str]
    actual: list[str]

    def report(self, *arguments: str, model: str = "fraud") -> Any:
        return inferspan("report", model, "--api", self.served.api, *arguments)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    directory = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(1)
    scores = rng.beta(0.4, 0.4, N)
    predicted = np.where(scores >= 0.5, "fraud", "legit").tolist()
    actual = np.where(rng.random(N) < scores, "fraud", "legit").tolist()
    spans = [
        testing.prediction_span(
            f"order-{i}",
            {
                semconv.TASK_TYPE: semconv.BINARY,
                semconv.OUTPUT_POSITIVE_CLASS: "fraud",
                semconv.MODEL_VERSION: "6" if i < N // 2 else "7",
                semconv.OUTPUT_CLASS: predicted[i],
                semconv.OUTPUT_SCORE: float(scores[i]),
            },
            model="fraud",
            start_ns=START_NS + i * 10_000_000_000,
        )
        for i in range(N)
    ]
    # Of the newest fifty no label has come.
    lines = "\n".join(
        json.dumps({"prediction_id": f"order-{i}", "model": "fraud", "class": actual[i]})
        for i in range(N - 50)
    )
    with serving(directory / "data") as served:
        send_spans(served.otlp_http, spans)
        trace, span = testing.span_ids("order-7")
        stage = testing.otlp_span(
            f"{HOSTILE} fraud", {semconv.STAGE_NAME: HOSTILE}, ids=(trace, b"stage--7"), parent=span
        )
        send_spans(served.otlp_http, [stage])
        hostile = {semconv.TASK_TYPE: semconv.MULTICLASS, semconv.OUTPUT_CLASS: HOSTILE}
        send_spans(served.otlp_http, [testing.prediction_span("order-x", hostile, model=HOSTILE)])
        httpx.post(
            f"{served.api}/v1/labels",
            content=lines + "\n" + json.dumps({"prediction_id": "order-x", "class": HOSTILE}),
            headers={"Content-Type": "application/x-ndjson"},
        ).raise_for_status()
        yield Asked(served, predicted[: N - 50], actual[: N - 50])


def test_a_program_gets_figures_with_their_n_and_interval(asked: Asked) -> None:
    done = asked.report("--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["predictions"], report["labeled"]) == (N, N - 50)
    for name, oracle in {
        "accuracy": accuracy_score(asked.actual, asked.predicted),
        "f1": f1_score(asked.actual, asked.predicted, pos_label="fraud"),
    }.items():
        figure = report["figures"][name]
        assert figure["value"] == pytest.approx(oracle, abs=1e-9)
        assert figure["low"] < oracle < figure["high"]
    assert report["figures"]["accuracy"]["n"] == N - 50
    estimated = report["estimates"]["figures"]["accuracy"]["estimated"]
    assert estimated["n"] == N
    assert estimated["low"] <= accuracy_score(asked.actual, asked.predicted) <= estimated["high"]
    assert [each["version"] for each in report["versions"]] == ["6", "7"]
    (step,) = report["stages"]
    assert (step["n"], step["coverage"], step["mean"]) == (1, pytest.approx(1 / N), 0.005)
    assert len(report["trend"]) <= 60
    assert sum(row["predictions"] for row in report["trend"]) == N


def test_people_see_the_estimate_before_the_truth(asked: Asked) -> None:
    done = asked.report()
    assert done.returncode == 0, done.stderr
    titles = ["Before the labels come", "Figures", "Versions", "Classes", "Drift", "Stages"]
    places = [done.stdout.index(title) for title in titles]
    assert places == sorted(places)
    assert "coverage 91.7 %" in done.stdout


def test_where_nobody_draws_columns_no_word_is_broken(asked: Asked) -> None:
    report, lines = json.loads(asked.report("--json").stdout), asked.report().stdout.splitlines()
    for section in sections_of(report):
        assert [line for line in section.lines if line not in lines] == []
        rows = [section.columns, *([cell.text for cell in row] for row in section.rows)]
        for row in rows:
            assert any(all(text in line for text in row) for line in lines), row


def test_with_a_baseline_there_are_offline_figures_and_alerts(asked: Asked, tmp_path: Path) -> None:
    n = 300
    columns = {
        "predicted": ["fraud", "legit"] * (n // 2),
        "actual": ["fraud", "legit"] * (n // 2),
        "score": [0.99, 0.01] * (n // 2),
    }
    columns["actual"][:3] = ["legit", "fraud", "legit"]
    told = {"version": "7", "cross_validation": {"accuracy": (0.98, 0.96)}}
    made = baseline_of(tmp_path / "eval.csv", columns, told, positive="fraud")
    url = f"{asked.served.api}/api/v1/baselines"
    kept = httpx.post(url, json={"model": "fraud", "baseline": document.plain(made)}).json()
    try:
        done = asked.report("--version", "7", "--fail-on-alert")
        report = json.loads(asked.report("--version", "7", "--json").stdout)
    finally:
        httpx.post(f"{url}/remove", json={"model": "fraud", "number": kept["number"]})
    assert done.returncode == 1
    assert "the first: " in done.stderr
    assert "0.9900" in done.stdout
    assert "0.9700 ± 0.0100" in done.stdout
    assert any(alert.startswith("accuracy ") for alert in report["alerts"])
    assert any("predicted.score drifts" in alert for alert in report["alerts"])
    assert asked.report("--version", "7", "--fail-on-alert").returncode == 0


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "onerror")]


def test_the_page_is_one_file_and_hostile_names_do_nothing(asked: Asked, tmp_path: Path) -> None:
    for model in ("fraud", HOSTILE):
        path = tmp_path / "report.html"
        done = asked.report("--html", str(path), model=model)
        assert done.returncode == 0, done.stderr
        text = path.read_text()
        found = Tags()
        found.feed(text)
        assert not found.tags & {"script", "img", "link", "iframe"}
        assert found.loads == []
        assert "default-src 'none'" in text
        assert len(text) < 150_000
        assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_markdown_and_terminal_show_names_as_they_are(asked: Asked) -> None:
    comment = asked.report("--markdown", model=HOSTILE).stdout
    assert "@octocat" not in comment
    assert re.search(r"(?<!\\)<img", comment) is None
    for line in comment.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) >= 3
    shown = asked.report(model=HOSTILE).stdout
    assert "[red]" in shown


def test_the_otlp_port_is_not_the_api(asked: Asked) -> None:
    done = inferspan("report", "fraud", "--api", asked.served.otlp_http)
    assert done.returncode != 0
    assert "this is its OTLP port: the API is on another, 4319 unless" in done.stderr


def test_no_name_moves_the_cursor() -> None:
    assert printable("a\x1b[31mb\nc\u202e") == "a�[31mb�c�"


def test_a_model_without_a_label_has_a_report(asked: Asked) -> None:
    span = testing.prediction_span("p-1", {semconv.OUTPUT_VALUE: 3.5}, model="price")
    send_spans(asked.served.otlp_http, [span])
    done = asked.report("--markdown", model="price")
    assert done.returncode == 0, done.stderr
    assert "no estimates: " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nobody",), 2, "no prediction of model 'nobody' has arrived"),
        (("fraud", "--every", "2h"), 2, "--every 2h: one of"),
        (("fraud", "--json", "--markdown"), 2, "give one of them"),
        (("fraud", "--from", "yesterday"), 2, "from"),
        (("fraud", "--html", "/nowhere/at/all.html"), 2, "cannot be written"),
        (("fraud", "--api", "http://127.0.0.1:1"), 5, "no collector answers"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    asked: Asked, arguments: tuple[str, ...], code: int, said: str
) -> None:
    api = () if "--api" in arguments else ("--api", asked.served.api)
    done = inferspan("report", *arguments, *api)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_chart_of_nothing_is_none() -> None:
    empty: dict[str, Any] = {"trend": [], "main": "accuracy"}
    assert page.chart(empty) == ""
    gap = {"truth": None, "estimated": None, "start": "2026-11-29T00:00:00Z"}
    assert page.chart({"trend": [gap, gap], "main": "accuracy"}) == ""
    known = {**gap, "truth": {"value": 1.0, "low": 1.0, "high": 1.0}}
    later = {**known, "start": "2026-11-29T02:00:00Z"}
    between = {**gap, "start": "2026-11-29T01:00:00Z"}
    drawn = page.chart({"trend": [known, between, later], "main": "accuracy"})
    # Nothing is known between them: two dots, and no line.
    assert (drawn.count("<circle"), drawn.count("<polyline")) == (2, 0)


def test_every_character_that_means_something_in_markdown_is_escaped() -> None:
    assert markdown.escaped("a|b_c`<d>") == "a\\|b\\_c\\`\\<d\\>"


def test_the_sections_are_the_same_for_every_way_of_writing(asked: Asked) -> None:
    report = json.loads(asked.report("--json").stdout)
    text, comment = page.written(report), markdown.written(report)
    for section in sections_of(report):
        for row in section.rows:
            assert page.escape(row[0].text) in text
            assert markdown.escaped(row[0].text) in comment
