"""On which time axis Jaeger's Monitor shows evaluations: the predictions', or their labels'."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import ask
from records import MINUTE_NS, START_NS, Label, Prediction
from starlette.routing import Route
from stored import Stored, stored

from inferspan_collector.config import Config, load
from inferspan_collector.publish import jaeger_monitor

DAY_NS = 24 * 60 * MINUTE_NS
FIRST = START_NS // MINUTE_NS
MINUTES = 60
CONFIG = load(
    None,
    {"models": {"churn": {"time_axis": "label_arrival"}, "fraud": {"positive_class": "fraud"}}},
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Stored]:
    with stored(tmp_path, CONFIG) as opened:
        yield opened


def judged(store: Stored, day: int, kind: str = "SERVER") -> dict[str, dict[int, float]]:
    """Row → minute of the hour that begins so many days after START → events in it."""
    routes: list[Route] = jaeger_monitor.routes(store, store.config, store.telemetry)
    start = START_NS + day * DAY_NS
    query = (
        'sum(rate(traces_span_metrics_calls_total{service_name =~ "fraud-api-quality", '
        f'span_kind =~ "SPAN_KIND_{kind}"}}[1m])) by (service_name,span_name)'
    )
    first, last = start // MINUTE_NS * 60, (start // MINUTE_NS + MINUTES) * 60
    url = f"{jaeger_monitor.PATH}?start={first}&end={last}&step=60&query={query}"
    answer = ask(routes, url.replace(" ", "%20"))
    assert answer.status_code == 200, answer.text
    # A point at a time counts the minute before it.
    return {
        one["metric"]["span_name"]: {
            int(time) // 60 - start // MINUTE_NS - 1: round(60 * float(value))
            for time, value in one["values"]
            if float(value)
        }
        for one in answer.json()["data"]["result"]
    }


def predictions(model: str, n: int) -> list[Prediction]:
    base = {"churn": 1, "fraud": 1001}[model]
    return [
        Prediction(
            f"{model}-{i}", "yes", model=model, positive_class=None,
            task="multiclass_classification", trace=base + i, span=base + i,
            event_time=START_NS + (i % MINUTES) * MINUTE_NS, version=("7", "8")[i % 2],
        )
        for i in range(n)
    ]  # fmt: skip


def labels(rows: list[Prediction], day: int) -> list[Label]:
    """A label of each, some minute of the hour that begins so many days later."""
    draw = random.Random(len(rows))
    found = []
    for row in rows:
        came = START_NS + day * DAY_NS + draw.randrange(MINUTES) * MINUTE_NS
        found.append(
            Label(row.prediction_id, draw.choice(["yes", "no"]), f"l-{row.prediction_id}",
                  model=row.model, time=came, received=came)
        )  # fmt: skip
    return found


def minutes(came: list[Label]) -> dict[int, float]:
    return dict(
        Counter(label.received // MINUTE_NS % (24 * 60) - FIRST % (24 * 60) for label in came)
    )


def test_each_model_stands_on_its_own_axis(store: Stored) -> None:
    churn, fraud = predictions("churn", 90), predictions("fraud", 60)
    later = labels(churn, 7)
    store.commit(*churn, *fraud, *later, *labels(fraud, 7))

    at_once, a_week_later = judged(store, 0), judged(store, 7)

    assert at_once == {"evaluate fraud": dict.fromkeys(range(60), 1)}
    assert a_week_later == {"evaluate churn": minutes(later)}


def test_versions_and_classes_move_with_it(store: Stored) -> None:
    churn = predictions("churn", 80)
    later = labels(churn, 3)
    store.commit(*churn, *later)

    for kind, rows in (
        ("CONSUMER", {"evaluate churn v7", "evaluate churn v8"}),
        ("PRODUCER", {"recall churn[yes]", "recall churn[no]"}),
    ):
        assert judged(store, 0, kind) == {}
        shown = judged(store, 3, kind)
        assert set(shown) == rows
        total: Counter[int] = Counter()
        for row in shown.values():
            total.update(row)
        assert dict(total) == minutes(later)


def test_a_correction_moves_its_prediction_and_a_deletion_takes_it_away(store: Stored) -> None:
    (row,) = predictions("churn", 1)
    (label,) = labels([row], 2)
    store.commit(row, label)
    assert judged(store, 2) == {"evaluate churn": minutes([label])}

    corrected = replace(label, actual="yes", revision=1, received=START_NS + 5 * DAY_NS)
    store.commit(corrected)
    assert judged(store, 2) == {}
    assert judged(store, 5) == {"evaluate churn": {0: 1}}

    store.commit(replace(corrected, deleted=True, revision=2, received=START_NS + 6 * DAY_NS))
    assert [judged(store, day) for day in (2, 5, 6)] == [{}, {}, {}]


def test_the_default_is_of_all_models_that_do_not_say(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "jaeger": {"time_axis": "label_arrival"},
        "models": {"fraud": {"time_axis": "prediction"}},
    }
    config: Config = load(None, sections)
    axes = [config.time_axis(name) for name in ("churn", "fraud", "unheard of")]
    assert axes == ["label_arrival", "prediction", "label_arrival"]
