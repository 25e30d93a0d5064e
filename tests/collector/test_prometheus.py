"""`/metrics` over a real store, read back by Prometheus' own parsers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from asking import FilledStore, ask, labelled_predictions
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from records import MINUTE_NS, SECOND_NS, START_NS, Label, Prediction

from inferspan_collector.config import Config, Limits, Model, Publish
from inferspan_collector.publish import prometheus
from inferspan_collector.publish.metrics import windows
from inferspan_collector.quality.intervals import wilson
from inferspan_collector.telemetry import ACCEPTED, CONTAINED, COUNTERS, FOLDED, STAGE_TIME

PAIRS = [("fraud", "fraud")] * 3 + [("fraud", "legit")] + [("legit", "legit")] * 4
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    filled.now = START_NS + 30 * MINUTE_NS
    yield filled
    filled.close()


def scrape(store: FilledStore, config: Config | None = None, accept: str = "") -> httpx.Response:
    routes = prometheus.routes(store, store.telemetry, config or store.config)
    response = ask(routes, "/metrics", {"accept": accept})
    assert response.status_code == 200
    return response


def families(response: httpx.Response) -> list[Metric]:
    is_openmetrics = response.headers["content-type"].startswith("application/openmetrics-text")
    return list((parse_openmetrics if is_openmetrics else parse_text)(response.text))


def series(found: list[Metric]) -> Series:
    # The process's own differ from one scrape to the next.
    ours = (family for family in found if not family.name.startswith("process_"))
    samples = [sample for family in ours for sample in family.samples]
    read = {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if v)): sample.value
        for sample in samples
    }
    assert len(read) == len(samples), "a series stands there twice"
    return read


def value(read: Series, name: str, **labels: str) -> float:
    """The one series of this name that carries these labels, whatever else it carries."""
    found = [v for (n, have), v in read.items() if n == name and set(labels.items()) <= have]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def names(read: Series) -> set[str]:
    return {name for name, _ in read}


def test_outcomes_by_arrival_and_what_was_retracted(store: FilledStore) -> None:
    store.add(*labelled_predictions(PAIRS))
    store.add(Label("order-0", "legit", label_id="label-fraud-0", revision=1))
    read = series(families(scrape(store)))
    outcomes, retracted = "inferspan_quality_outcomes_total", "inferspan_quality_retracted_total"
    right = {"outcome": "correct", "predicted": "fraud", "actual": "fraud"}
    wrong = {"outcome": "incorrect", "predicted": "fraud", "actual": "legit"}
    assert value(read, outcomes, **right) == 3
    assert value(read, retracted, **right) == 1
    assert value(read, outcomes, **wrong) == 2
    assert value(read, retracted, **wrong) == 0
    labels = next(dict(have) for name, have in read if name == outcomes)
    assert labels.keys() == {
        "service", "model", "version", "target", "outcome", "predicted", "actual"
    }  # fmt: skip


def test_scores_with_their_interval_per_window(store: FilledStore) -> None:
    store.add(*labelled_predictions(PAIRS), Prediction("unlabelled", span=77, trace=77))
    store.add(
        *labelled_predictions([("fraud", "legit")] * 4, 50, start=START_NS - 7200 * SECOND_NS)
    )
    read = series(families(scrape(store)))
    score = {"model": "fraud", "version": "7", "target": "default", "metric": "accuracy"}
    assert value(read, "inferspan_quality_score", window="1h", **score) == 7 / 8
    assert value(read, "inferspan_quality_score", window="1d", **score) == 7 / 12
    low, high = wilson(7, 8)
    assert value(read, "inferspan_quality_score_lower", window="1h", **score) == low
    assert value(read, "inferspan_quality_score_upper", window="1h", **score) == high
    assert value(read, "inferspan_quality_coverage_ratio", model="fraud", window="1h") == 8 / 9
    precision = {
        average: value(
            read, "inferspan_quality_score", metric="precision", average=average, window="1h"
        )
        for average in ("binary", "macro", "micro", "weighted")
    }
    assert precision == pytest.approx(
        {"binary": 3 / 4, "macro": 7 / 8, "micro": 7 / 8, "weighted": (3 * 3 / 4 + 5) / 8}
    )


def test_a_window_ends_with_the_present_minute(store: FilledStore) -> None:
    now_minute = store.now - store.now % MINUTE_NS
    store.add(
        Prediction("too-old", span=1, event_time=now_minute - 60 * MINUTE_NS + MINUTE_NS - 1),
        Prediction("oldest", span=2, event_time=now_minute - 59 * MINUTE_NS),
        Prediction("newest", span=3, event_time=now_minute + MINUTE_NS - 1),
        Label("oldest", "fraud"),
    )
    config = Config(publish=Publish(quality_windows=("60m",)))
    read = series(families(scrape(store, config)))
    assert value(read, "inferspan_quality_coverage_ratio", window="60m") == 0.5


def test_only_what_can_be_computed_is_shown(store: FilledStore) -> None:
    store.add(Prediction("a", task="regression", predicted=None, value=1.0, positive_class=None))
    read = series(families(scrape(store)))
    assert "inferspan_quality_score" not in names(read)
    assert value(read, "inferspan_quality_coverage_ratio", window="1h") == 0.0


def test_each_target_has_its_own_scores(store: FilledStore) -> None:
    store.add(
        *labelled_predictions(PAIRS[:2]),
        *labelled_predictions(PAIRS[:2], 10, model="churn"),
        Label("order-0", "legit", label_id="thumb", target="thumbs"),
    )
    read = series(families(scrape(store)))
    fraud = {"model": "fraud", "metric": "accuracy", "window": "1h"}
    assert value(read, "inferspan_quality_score", target="thumbs", **fraud) == 0.0
    assert value(read, "inferspan_quality_score", target="default", **fraud) == 1.0
    churn = {
        dict(labels)["target"]
        for name, labels in read
        if name == "inferspan_quality_coverage_ratio" and ("model", "churn") in labels
    }
    assert churn == {"default"}


def test_the_configured_positive_class_decides(store: FilledStore) -> None:
    config = Config(models={"fraud": Model(positive_class="legit")})
    store.add(*labelled_predictions(PAIRS))
    read = series(families(scrape(store, config)))
    labels = {"metric": "recall", "average": "binary", "window": "1h"}
    assert value(read, "inferspan_quality_score", **labels) == 4 / 5


def test_the_configured_positive_class_may_be_spelled_as_an_alias(store: FilledStore) -> None:
    model = Model(positive_class="0", class_aliases={"0": "legit"})
    store.add(*labelled_predictions(PAIRS))
    read = series(families(scrape(store, Config(models={"fraud": model}))))
    labels = {"metric": "recall", "average": "binary", "window": "1h"}
    assert value(read, "inferspan_quality_score", **labels) == 4 / 5


def test_predictions_held_and_labels_waiting(store: FilledStore) -> None:
    store.add(
        Prediction("a", span=1, duration=1),
        Prediction("b", span=2, duration=10**9),
        Prediction("c", span=3, error_type="ValueError", predicted=None),
        Label("nobody", label_id="l1"),
        Label("no one", label_id="l2", model="other"),
    )
    read = series(families(scrape(store)))
    assert value(read, "inferspan_stored_predictions", status="ok") == 2
    assert value(read, "inferspan_stored_predictions", status="error") == 1
    assert value(read, "inferspan_join_pending", model="fraud") == 1
    assert value(read, "inferspan_join_pending", model="other") == 1


def test_what_the_store_takes_on_disk_and_in_rows(store: FilledStore, tmp_path: Path) -> None:
    before = series(families(scrape(store)))
    store.add(*labelled_predictions(PAIRS), Label("nobody", label_id="l1"))
    read = series(families(scrape(store)))
    rows = {
        table: value(read, "inferspan_store_rows", table=table)
        for table in ("predictions", "labels", "outcomes", "waiting_labels", "outbox")
    }
    assert rows == {
        "predictions": len(PAIRS),
        "labels": len(PAIRS) + 1,
        "outcomes": len(PAIRS),
        "waiting_labels": 1,
        "outbox": 0,
    }
    grown = [value(found, "inferspan_store_bytes", part="log") for found in (before, read)]
    assert grown[0] < grown[1]

    (tmp_path / "inferspan.duckdb.before-v1").write_bytes(bytes(1_000))
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "1.journal").write_bytes(bytes(500))
    sizes = store.reader.sizes()
    assert sizes.bytes["journal"] == 500
    beside = sum(
        path.stat().st_size
        for path in tmp_path.iterdir()
        if path.name not in ("inferspan.duckdb", "inferspan.duckdb.wal", "journal")
    )
    assert sizes.bytes["other"] == beside >= 1_000
    assert sizes.bytes["file"] == (tmp_path / "inferspan.duckdb").stat().st_size > 0
    assert sizes.disk_free > 0


def test_our_own_counters(store: FilledStore) -> None:
    store.telemetry.add(ACCEPTED, 5, signal="predictions", transport="otlp_http")
    store.telemetry.add(STAGE_TIME, 1_500_000_000, stage="decode")
    found = families(scrape(store))
    read = series(found)
    assert value(read, "inferspan_accepted_records_total", transport="otlp_http") == 5
    assert value(read, "inferspan_stage_seconds_total", stage="decode") == 1.5
    assert value(read, "inferspan_store_commit_failures_total") == 0
    assert {counter.name for counter in COUNTERS} <= {
        family.name.removesuffix("_total") for family in found
    }


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_both_formats_say_the_same(store: FilledStore, accept: str) -> None:
    store.add(*labelled_predictions(PAIRS))
    response = scrape(store, accept=accept)
    wanted = OPENMETRICS.split(";")[0] if accept else "text/plain"
    assert response.headers["content-type"].startswith(wanted)
    plain, other = series(families(scrape(store))), series(families(response))
    for read in (plain, other):
        # Somebody else may write to that disk between the two.
        del read["inferspan_store_disk_free_bytes", frozenset()]
    assert other == plain


@pytest.mark.parametrize(
    "model",
    [
        'a"b',
        "back\\slash",
        "two\nlines",
        'a"} 1\ninferspan_quality_score{model="b',
        "цена €",
        "\r",
        "{}",
    ],
)
@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_hostile_names_stay_inside_their_label(store: FilledStore, model: str, accept: str) -> None:
    store.add(*labelled_predictions(PAIRS, model=model, version=model, environment=model))
    read = series(families(scrape(store, accept=accept)))
    labels = {"model": model, "version": model, "environment": model}
    score = {"metric": "accuracy", "window": "1h"}
    assert value(read, "inferspan_quality_score", **labels, **score) == 7 / 8
    assert {dict(have)["model"] for _, have in read if "model" in dict(have)} == {model}


def test_absent_and_empty_versions_are_one_series(store: FilledStore) -> None:
    store.add(
        *labelled_predictions(PAIRS[:3], version=None),
        *labelled_predictions(PAIRS[3:4], 10, version=""),
    )
    read = series(families(scrape(store)))
    assert value(read, "inferspan_quality_score", metric="accuracy", window="1h") == 3 / 4
    assert value(read, "inferspan_stored_predictions", status="ok") == 4


def test_series_beyond_the_limit_fold_without_losing_a_count(store: FilledStore) -> None:
    config = Config(limits=Limits(metric_series=100), publish=Publish(quality_windows=("1h",)))
    for i in range(12):
        pairs = [(f"c{j}", "c0") for j in range(12)] * (2 if i < 5 else 1)
        store.add(*labelled_predictions(pairs, 100 * i, version=f"{i:02}"))
    routes = prometheus.routes(store, store.telemetry, config)
    for _ in range(2):
        read = series(list(parse_text(ask(routes, "/metrics").text)))
        outcomes = {h: v for (n, h), v in read.items() if n == "inferspan_quality_outcomes_total"}
        assert len(outcomes) == 101
        assert sum(outcomes.values()) == 12 * 12 + 5 * 12
        assert value(read, "inferspan_quality_outcomes_total", model="__other__") > 0
        # 100 series of at most 20 per group: the five largest groups, and the rest as one.
        versions = {
            dict(labels)["version"] for n, labels in read if n == "inferspan_quality_coverage_ratio"
        }
        assert versions == {"00", "01", "02", "03", "04", "__other__"}
        rest = {"version": "__other__", "metric": "accuracy"}
        assert value(read, "inferspan_quality_score", **rest) == 1 / 12
    assert store.telemetry.get(FOLDED, label="metrics:outcome") == 44
    assert store.telemetry.get(FOLDED, label="metrics:score") == 7


def test_a_series_of_a_counter_keeps_its_place(store: FilledStore) -> None:
    config = Config(limits=Limits(metric_series=100))
    routes = prometheus.routes(store, store.telemetry, config)
    store.add(*labelled_predictions([(f"z{i:03}", "a") for i in range(100)]))
    before = series(list(parse_text(ask(routes, "/metrics").text)))
    store.add(*labelled_predictions([("a", "a")] * 5, 500))
    after = series(list(parse_text(ask(routes, "/metrics").text)))
    outcomes = [key for key in before if key[0] == "inferspan_quality_outcomes_total"]
    assert len(outcomes) == 100
    assert {key: after[key] for key in outcomes} == {key: before[key] for key in outcomes}
    assert value(after, "inferspan_quality_outcomes_total", model="__other__") == 5


def test_a_group_has_no_more_series_than_the_limit_reckons_with(store: FilledStore) -> None:
    store.add(*labelled_predictions(PAIRS))
    read = series(families(scrape(store)))
    of_one = [k for k in read if k[0] == "inferspan_quality_score" and ("window", "1h") in k[1]]
    assert 10 < len(of_one) <= windows.SERIES_PER_GROUP_MAX


def test_targets_with_gauges_have_a_limit(store: FilledStore) -> None:
    store.add(
        Prediction(),
        *(Label(label_id=f"l{i}", target=f"t{i:02}") for i in range(windows.TARGETS_MAX + 3)),
    )
    read = series(families(scrape(store)))
    targets = {
        dict(labels)["target"] for n, labels in read if n == "inferspan_quality_coverage_ratio"
    }
    assert len(targets) == windows.TARGETS_MAX
    assert store.telemetry.get(FOLDED, label="metrics:target") == 4


def test_a_broken_store_leaves_our_own_counters(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FilledStore(tmp_path)
    store.add(*labelled_predictions(PAIRS))
    store.close()
    read = series(families(scrape(store)))
    assert value(read, "inferspan_store_commits_total") == 1
    assert value(read, "inferspan_contained_errors_total", where="metrics") == 1
    assert store.telemetry.get(CONTAINED) == 1
    assert "inferspan_stored_predictions" not in names(read)
    assert "did not answer" in caplog.text
