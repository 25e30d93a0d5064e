"""What Jaeger's Model Quality page says of alerts and drift, as the newest figures show them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask
from records import MINUTE_NS, START_NS, Label, Prediction
from test_jaeger_quality import check_drawable, metric

from inferspan_collector.config import Config
from inferspan_collector.publish import jaeger_quality
from inferspan_collector.publish.jaeger_quality_tables import GOOD
from inferspan_collector.publish.metrics.row_figures import RowFigures

CONFIG = Config.model_validate(
    {
        "publish": {"quality_windows": ["1h"]},
        "models": {
            "fraud": {
                "thresholds": {"accuracy": {"lower": 0.8}},
                "reference": {"first": 600},
            }
        },
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path, CONFIG)
    filled.now = START_NS
    yield filled
    filled.close()


def hour(ago: int, n: int, *, cents: float = 1, labelled: bool = True) -> list[Prediction | Label]:
    """Orders of an hour that began so many hours ago; the model takes cents for euros."""
    draw = np.random.default_rng(ago)
    start = START_NS - ago * 60 * MINUTE_NS
    rows: list[Prediction | Label] = []
    for i, amount in enumerate(draw.uniform(10, 1000, n).tolist()):
        key, seen = f"{ago}-{i}", amount * cents
        time = start + i * 60 * MINUTE_NS // n
        rows.append(
            Prediction(
                key, "fraud" if seen > 500 else "legit", event_time=time, received=time,
                trace=ago * 10_000 + i + 1, span=ago * 10_000 + i + 1,
                features={"amount": seen, "country": ("DE", "FR")[i % 2]},
            )
        )  # fmt: skip
        if labelled:
            truth = "fraud" if amount > 500 else "legit"
            rows.append(Label(key, truth, f"l-{key}", time=time, received=time))
    return rows


def page(store: FilledStore) -> dict[str, Any]:
    """The reply, once the figures of rows were made."""
    figures = RowFigures(store, CONFIG, store.telemetry, lambda: 0.0)
    figures.make()
    routes = jaeger_quality.routes(store, CONFIG, figures.noticed)
    answer = ask(routes, f"{jaeger_quality.PATH}?service=fraud-api&hours=48")
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    check_drawable(reply)
    return reply


def table(reply: dict[str, Any], name: str) -> list[dict[str, Any]]:
    (found,) = [
        each["rows"]
        for each in metric(reply, name)["details"]
        if each["header"] == "What changed in the last 1h"
    ]
    return list(found)


def test_the_banner_names_the_alert_and_its_likeliest_cause(store: FilledStore) -> None:
    store.add(*hour(30, 600), *hour(1, 200, cents=100))

    reply = page(store)

    said = reply["bannerText"]["value"]
    assert said.startswith("ALERT fraud v7: accuracy 0.")
    assert re.search(r"n = \d+\) of the last 1h is below 0\.8\.", said)
    assert "Likeliest cause: feature.amount" in said
    rows = table(reply, "accuracy fraud v7")
    # What changed comes first, and is red.
    assert rows[0]["column"] == "feature.amount"
    assert rows[0]["methods"]["styling"] != rows[-1]["methods"]["styling"]
    assert "jensen_shannon" in rows[0]["outside"]
    (country,) = [row for row in rows if row["column"] == "feature.country"]
    assert country["methods"]["value"].startswith("0 of ")
    assert country["outside"] == ""


def test_drift_is_told_before_the_first_label(store: FilledStore) -> None:
    store.add(*hour(30, 600, labelled=False), *hour(1, 200, cents=100, labelled=False))
    reply = page(store)
    assert "Drift: feature.amount" in reply["bannerText"]["value"]
    assert "ALERT" not in reply["bannerText"]["value"]
    assert table(reply, "labelled fraud v7")[0]["column"] == "feature.amount"


def test_where_all_is_well_nothing_is_said(store: FilledStore) -> None:
    store.add(*hour(30, 600), *hour(1, 200))
    reply = page(store)
    assert "bannerText" not in reply
    colours = {row["methods"]["styling"]["background"] for row in table(reply, "accuracy fraud v7")}
    assert colours == {GOOD}


def test_what_rests_on_few_rows_is_no_alert(store: FilledStore) -> None:
    store.add(*hour(30, 600), *hour(1, 20, cents=100))
    assert "ALERT" not in page(store).get("bannerText", {}).get("value", "")
