"""Stages and phases as people ask for them: the API's answers, and the series of `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask
from prometheus_client import Metric
from records import MINUTE_NS, START_NS, Prediction, Stage
from test_metrics_arrivals import scraped, started

from inferspan_collector.config import Config, Limits
from inferspan_collector.latency_sketch import RELATIVE_ERROR
from inferspan_collector.publish import stage_durations
from inferspan_collector.telemetry import OTHER

URL = "/api/v1/models/fraud/stages"
DURATION = "inferspan_stage_duration_seconds"
RNG = np.random.default_rng(5)
TAKEN_NS = np.exp(RNG.normal(15, 1, 200)).astype(np.int64)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    """Two minutes of two versions; of 200 of 300 predictions a stage was recorded."""
    filled = FilledStore(tmp_path)
    rows: list[Prediction | Stage] = []
    for n in range(300):
        at = START_NS + (n % 2) * MINUTE_NS
        rows.append(
            Prediction(f"order-{n}", span=n + 1, event_time=at, version="7" if n < 150 else "8")
        )
        if n < len(TAKEN_NS):
            rows.append(Stage(span=1000 + n, owner=n + 1, duration=int(TAKEN_NS[n])))
    rows.append(Stage(None, "queue", span=1, duration=250_000_000))
    filled.add(*rows)
    yield filled
    filled.close()


def asked(store: FilledStore, query: str = "") -> Any:
    return ask(stage_durations.routes(store, store.config), URL + query).json()


def samples(found: list[Metric], name: str) -> dict[tuple[str, ...], float]:
    """(model, version, stage, phase, le) → value."""
    keys = ("model", "version", "stage", "phase", "le")
    return {
        tuple(sample.labels.get(key, "") for key in keys): sample.value
        for family in found
        for sample in family.samples
        if sample.name == name
    }


def test_figures_stand_beside_their_n_and_coverage(store: FilledStore) -> None:
    (window,) = asked(store)["windows"]
    queue, features = window["stages"]

    assert window["predictions"] == 300
    assert (queue["stage"], queue["phase"], queue["n"]) == (None, "queue", 1)
    assert queue["mean"] == 0.25
    assert (features["stage"], features["phase"], features["n"]) == ("features", None, 200)
    assert features["predictions"] == 200
    assert features["coverage"] == pytest.approx(200 / 300)
    assert features["mean"] == pytest.approx(TAKEN_NS.mean() / 1e9, rel=1e-12)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        exact = np.quantile(TAKEN_NS, share, method="inverted_cdf") / 1e9
        assert features[name] == pytest.approx(exact, rel=RELATIVE_ERROR * 1.001)


def test_windows_and_groups_add_up_to_the_whole(store: FilledStore) -> None:
    parts = asked(store, "?every=1m&by=version")["windows"]

    assert [part["group"]["version"] for part in parts] == ["7", "8", "7", "8"]
    assert sum(part["predictions"] for part in parts) == 300
    found = [step for part in parts for step in part["stages"] if step["stage"] == "features"]
    assert [step["n"] for step in found] == [75, 25, 75, 25]
    total = sum(step["mean"] * step["n"] for step in found)
    assert total == pytest.approx(TAKEN_NS.sum() / 1e9, rel=1e-12)


def test_a_version_and_a_time_narrow_it(store: FilledStore) -> None:
    (window,) = asked(store, f"?version=8&from={START_NS // 10**9 + 60}")["windows"]

    assert window["predictions"] == 75
    assert [(step["stage"], step["n"]) for step in window["stages"]] == [("features", 25)]


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("?by=slice.country", "without slices"),
        ("?every=2m", "not one of the known values"),
        ("?target=default", "no such parameter"),
    ],
)
def test_what_cannot_be_answered_says_why(store: FilledStore, query: str, rule: str) -> None:
    problem = asked(store, query)

    assert problem["status"] == 400
    assert rule in problem["rule"]


def test_an_answer_of_too_many_windows_is_refused(store: FilledStore) -> None:
    store.config = Config(limits=Limits(query_windows=3))

    assert "at most 3 are allowed" in asked(store, "?every=1m&by=version")["rule"]


def test_a_histogram_that_survives_a_restart(store: FilledStore) -> None:
    found = scraped(started(store, store.config))
    edges = {
        key[4]: value
        for key, value in samples(found, f"{DURATION}_bucket").items()
        if key[:4] == ("fraud", "7", "features", "")
    }

    assert edges["+Inf"] == 150
    mine = TAKEN_NS[:150] / 1e9
    for le, value in edges.items():
        edge = float(le)
        assert (mine <= edge / (1 + RELATIVE_ERROR)).sum() <= value
        assert value <= (mine <= edge * (1 + RELATIVE_ERROR)).sum()
    assert samples(found, f"{DURATION}_sum")["fraud", "7", "features", "", ""] == pytest.approx(
        mine.sum(), rel=1e-12
    )
    assert samples(found, f"{DURATION}_count")["fraud", "8", "features", "", ""] == 50
    assert samples(found, "inferspan_stage_predictions_total") == {
        ("fraud", "7", "features", "", ""): 150,
        ("fraud", "8", "features", "", ""): 50,
        ("fraud", "7", "", "queue", ""): 1,
    }
    again = scraped(started(store, store.config))
    assert samples(again, f"{DURATION}_bucket") == samples(found, f"{DURATION}_bucket")


def test_series_beyond_the_limit_fold(store: FilledStore) -> None:
    config = Config(limits=Limits(metric_series=100))
    store.add(*(Stage(f"step {n}", span=5000 + n) for n in range(20)))
    found = scraped(started(store, config))

    counts = samples(found, f"{DURATION}_count")
    assert len(counts) == 100 // 18 + 1
    assert sum(counts.values()) == 221
    assert counts[OTHER, OTHER, OTHER, OTHER, ""] > 0
    folded = samples(found, "inferspan_folded_values_total")
    assert sum(folded.values()) > 0


def test_names_that_share_other_say_no_coverage(tmp_path: Path) -> None:
    store = FilledStore(tmp_path, Config(limits=Limits(stages=1)))
    store.add(Prediction(), Stage("a"), Stage("b", span=101), Stage("c", span=102))
    (window,) = asked(store)["windows"]

    assert [(s["stage"], s["n"], s["coverage"]) for s in window["stages"]] == [
        (OTHER, 2, None),
        ("a", 1, 1.0),
    ]
    store.close()
