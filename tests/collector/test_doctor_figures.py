"""`inferspan doctor MODEL`: what a model's figures suffer from, asked of a real collector."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from collector_process import send_spans, serving

from inferspan import semconv
from inferspan_collector import testing
from inferspan_collector.cli.client import Client
from inferspan_collector.cli.doctor import figures
from inferspan_collector.cli.doctor.finding import UNKNOWN, WRONG


@pytest.mark.parametrize(
    ("truths", "state", "said"),
    [
        (("0", "1"), None, ""),
        ((False, True), WRONG, "labels say `false`, `true`, which no prediction says"),
        (("0", "fraud"), UNKNOWN, "labels say `fraud`, which no prediction says"),
    ],
)
def test_labels_in_a_spelling_of_their_own_are_said(
    tmp_path: Path, truths: tuple[object, object], state: str | None, said: str
) -> None:
    spans = [
        testing.prediction_span(
            f"p-{i}",
            {semconv.TASK_TYPE: semconv.BINARY, semconv.OUTPUT_CLASS: str(i % 2)},
            model="m",
        )
        for i in range(4)
    ]
    labels = [
        {"prediction_id": f"p-{i}", "model": "m", "class": truths[i % 2]} for i in range(len(spans))
    ]
    with serving(tmp_path / "data") as served, Client(served.api) as client:
        send_spans(served.otlp_http, spans)
        httpx.post(f"{served.api}/v1/labels", json=labels).raise_for_status()
        found = [f for f in figures.examine(client, "m") if f.name == "classes of labels"]
    assert [(finding.state, finding.seen) for finding in found] == (
        [(state, said)] if state else []
    )
    assert all("models.m.class_aliases" in finding.fix for finding in found)
