"""`inferspan mappings`: what a file of spans would become, said span by span."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from collector_process import inferspan
from mapped_spans import DATA, span_names

from inferspan_collector.cli.exits import Exit
from inferspan_collector.config.mappings import ready_made_names
from inferspan_collector.testing import otlp_json, otlp_span, prediction_span, traces_request

TRITON = DATA / "spans_triton.json"
OURS = """
mappings:
  - name: ours
    match: {scope: their.library, attributes: {kind: "*"}, without: {hidden: "*"}}
    prediction:
      model: {attribute: model}
      score: {attribute: score}
"""


def test_each_span_is_told_with_what_it_becomes_or_why_not() -> None:
    done = inferspan("mappings", "test", str(TRITON), "--mapping", "triton")
    assert done.returncode == Exit.OK, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "'compute' (server, scope triton-server)"
    assert lines[2] == "    triton: attribute triton.model_name is missing; wanted is any value"
    assert lines[4].startswith(
        "  prediction by triton: service = triton-inference-server, model = fraud, version = 3, "
        "operation = predict, prediction_id = order-17"
    )
    assert lines[-1] == "4 spans: 2 predictions, 0 labels, 0 refused, 2 ignored"


def test_labels_of_a_span_are_told() -> None:
    done = inferspan("mappings", "test", str(DATA / "spans_openinference.json"))
    assert "  label by openinference.evaluations: " in done.stdout
    assert (
        "target = hallucination, kind = evaluation, class = hallucinated, value = 1.0"
        in done.stdout
    )
    assert done.stdout.endswith("5 spans: 3 predictions, 3 labels, 0 refused, 1 ignored\n")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A file as the Collector's file exporter writes it, a request a line."""
    spans = [
        otlp_span("good", {"kind": "x", "model": "m", "score": 0.5}),
        otlp_span("bad", {"kind": "x", "model": "m", "score": "high"}),
        otlp_span("without", {"kind": "x"}),
        otlp_span("hidden", {"kind": "x", "hidden": True}),
        otlp_span("other", {}),
    ]
    requests = [traces_request([span], scope="their.library") for span in spans]
    requests.append(traces_request([prediction_span("order-1")]))
    file = tmp_path / "spans.jsonl"
    file.write_bytes(b"\n".join(map(otlp_json, requests)) + b"\n")
    return file


def test_a_configuration_is_tried_on_lines_and_what_is_refused_fails(mixed: Path) -> None:
    (config := mixed.with_name("inferspan.yaml")).write_text(OURS)

    done = inferspan("mappings", "test", str(mixed), "--config", str(config), "--json")

    assert done.returncode == Exit.FAILED
    reports = {report["name"]: report for report in map(json.loads, done.stdout.splitlines())}
    assert reports["good"]["predicted_by"] == "ours"
    assert reports["good"]["predictions"][0]["score"] == 0.5
    (why,) = reports["bad"]["refused"]
    assert why.startswith("bad_type: mapping 'ours': ")
    assert reports["without"]["refused"][0].startswith("missing_model: mapping 'ours': ")
    assert reports["hidden"]["why_not"] == {"ours": "attribute hidden = True; wanted is none"}
    assert reports["other"]["why_not"] == {"ours": "attribute kind is missing; wanted is any value"}
    # Spans of our own vocabulary need no mapping.
    assert reports["predict fraud"]["predicted_by"] is None
    assert reports["predict fraud"]["predictions"][0]["prediction_id"] == "order-1"


def test_spans_may_come_by_standard_input() -> None:
    done = inferspan("mappings", "test", "-", stdin=TRITON.read_text())
    assert done.stdout.splitlines()[-1].startswith(
        f"{len(span_names('triton'))} spans: 2 predictions"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (str(TRITON), "--mapping", "tritn"),
            "--mapping tritn: no ready-made mapping; there are gen_ai",
        ),
        (("nowhere.json",), "cannot read nowhere.json"),
        ((str(TRITON), "--config", "nowhere.yaml"), "cannot read nowhere.yaml"),
        (("-",), "-, line 1: the body is not an OTLP/JSON"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: tuple[str, ...], said: str) -> None:
    done = inferspan("mappings", "test", *arguments, stdin="no json")
    assert done.returncode == Exit.USAGE
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_ready_made_ones_are_listed() -> None:
    done = inferspan("mappings", "list")
    for name in ready_made_names():
        assert f"{name}: predictions of spans with " in done.stdout
    assert "triton: predictions of spans with scope = triton-server" in done.stdout
