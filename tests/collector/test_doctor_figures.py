"""`inferspan doctor MODEL`: what a model's figures suffer from, asked of a real collector."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import httpx
import pytest
from asking import FilledStore, ask, labelled_later
from collector_process import send_spans, serving
from records import MINUTE_NS, START_NS

from inferspan import semconv
from inferspan_collector import testing
from inferspan_collector.cli.client import Client
from inferspan_collector.cli.doctor import figures
from inferspan_collector.cli.doctor.finding import RIGHT, UNKNOWN, WRONG
from inferspan_collector.config import Config
from inferspan_collector.publish import api, drifting, foreseeing


@pytest.mark.parametrize(
    ("truths", "n", "state", "said"),
    [
        (("0", "1"), 12, None, ""),
        ((False, True), 12, WRONG, "labels say `false`, `true`, which no prediction says"),
        (("0", "fraud"), 12, UNKNOWN, "labels say `fraud`, which no prediction says"),
        # The first mistake of all is no spelling.
        (("1", "0"), 1, UNKNOWN, "labels say `1`, which no prediction says"),
    ],
)
def test_labels_in_a_spelling_of_their_own_are_said(
    tmp_path: Path, truths: tuple[object, object], n: int, state: str | None, said: str
) -> None:
    spans = [
        testing.prediction_span(
            f"p-{i}",
            {semconv.TASK_TYPE: semconv.BINARY, semconv.OUTPUT_CLASS: str(i % 2)},
            model="m",
        )
        for i in range(n)
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


class InProcess:
    """The API over a store, as the doctor asks it."""

    def __init__(self, store: FilledStore) -> None:
        self._routes = [
            *api.routes(store, store.config),
            *drifting.routes(store, store.config),
            *foreseeing.routes(store, store.config),
        ]

    def get(self, path: str, **parameters: str) -> Any:
        answer = ask(self._routes, f"{path}?{urlencode(parameters)}")
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.mark.parametrize(
    ("axis", "days", "state"),
    [("prediction", 3, UNKNOWN), ("label_arrival", 3, RIGHT), ("prediction", 1, RIGHT)],
)
def test_where_jaegers_monitor_shows_a_model_and_whether_its_labels_are_in_time_for_it(
    tmp_path: Path, axis: str, days: int, state: str
) -> None:
    store = FilledStore(tmp_path, Config.model_validate({"jaeger": {"time_axis": axis}}))
    store.add(*labelled_later(40, lag_minutes=days * 1440))
    store.now = START_NS + 4 * 1440 * MINUTE_NS
    client = cast(Client, InProcess(store))
    (found,) = [f for f in figures.examine(client, "fraud") if f.name == "Jaeger's Monitor"]
    store.close()
    assert found.state == state
    assert ("models.fraud.time_axis: label_arrival" in found.fix) == (state == UNKNOWN)


def test_features_that_are_not_there_may_have_been_left_out(tmp_path: Path) -> None:
    store = FilledStore(tmp_path)
    store.add(*labelled_later(40, lag_minutes=1))
    client = cast(Client, InProcess(store))
    (found,) = [f for f in figures.examine(client, "fraud") if f.name == "drift of features"]
    store.close()
    assert found.state == UNKNOWN
    for remedy in ("inferspan.predict", "INFERSPAN_INSTRUMENT", "the SDK's log says why"):
        assert remedy in found.fix
