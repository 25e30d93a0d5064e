"""Counters by arrival: they only grow, whatever is corrected, and lead to a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import FilledStore, ask, labelled_predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar
from records import MINUTE_NS, START_NS, Label, Prediction
from starlette.routing import Route

from inferspan_collector.config import Config, Limits, Model
from inferspan_collector.publish import prometheus
from inferspan_collector.publish.metrics import arrivals
from inferspan_collector.publish.metrics.arrivals import EDGES_NS, EXEMPLAR_NS

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
DURATIONS = "inferspan_prediction_duration_seconds"
TIMED = Config(models={"fraud": Model(latency_objective_ms=50.0)})
MILLISECOND_NS = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    filled.now = START_NS + 30 * MINUTE_NS
    yield filled
    filled.close()


def started(store: FilledStore, config: Config = TIMED) -> list[Route]:
    """The route of a process that starts now."""
    return prometheus.routes(store, store.telemetry, config)


def scraped(routes: list[Route]) -> list[Metric]:
    """OpenMetrics, read by Prometheus' own parser, which refuses what is not valid."""
    answer = ask(routes, "/metrics", {"accept": OPENMETRICS})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    return list(text_string_to_metric_families(answer.text))


def samples(found: list[Metric], name: str, **labels: str) -> list[tuple[float, Exemplar | None]]:
    return [
        (sample.value, sample.exemplar)
        for family in found
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def value(found: list[Metric], name: str, **labels: str) -> float:
    ((one, _),) = samples(found, name, **labels)
    return one


def test_predictions_and_their_durations_are_counted_as_they_arrive(store: FilledStore) -> None:
    store.add(Prediction("before", span=99, trace=99))
    routes = started(store)
    store.add(
        Prediction("a", span=1, duration=400_000),
        Prediction("b", span=2, duration=50 * MILLISECOND_NS),
        Prediction("c", span=3, duration=70 * MILLISECOND_NS, error_type="E", predicted=None),
        Prediction("old", span=4, event_time=START_NS - 9_000 * MINUTE_NS, duration=10**12),
    )
    for _ in range(2):
        found = scraped(routes)
        assert value(found, "inferspan_predictions_total", status="ok") == 3
        assert value(found, "inferspan_predictions_total", status="error") == 1
        assert value(found, f"{DURATIONS}_count") == 4
        assert value(found, f"{DURATIONS}_sum") == pytest.approx(1000.1204, rel=1e-12)
        assert value(found, f"{DURATIONS}_bucket", le="0.0005") == 1
        assert value(found, f"{DURATIONS}_bucket", le="0.025") == 1
        assert value(found, f"{DURATIONS}_bucket", le="0.05") == 2
        assert value(found, f"{DURATIONS}_bucket", le="0.1") == 3
        assert value(found, f"{DURATIONS}_bucket", le="+Inf") == 4
        assert value(found, "inferspan_slow_predictions_total") == 2
    store.add(Prediction("d", span=5))
    assert value(scraped(routes), "inferspan_predictions_total", status="ok") == 4


def test_a_retry_does_not_arrive_again(store: FilledStore) -> None:
    routes = started(store)
    store.add(Prediction("a"))
    store.add(Prediction("a"))
    assert value(scraped(routes), "inferspan_predictions_total", status="ok") == 1


def test_what_is_superseded_has_arrived_all_the_same(store: FilledStore) -> None:
    routes = started(store)
    store.add(Prediction("a", span=1))
    store.add(Prediction("a", span=2, event_time=START_NS + 1))
    found = scraped(routes)
    assert value(found, "inferspan_predictions_total", status="ok") == 2
    assert value(found, "inferspan_stored_predictions", status="ok") == 1


def test_counters_of_a_known_model_begin_at_zero(store: FilledStore) -> None:
    store.add(Prediction("a"))
    found = scraped(started(store))
    assert value(found, "inferspan_predictions_total", status="ok") == 0
    assert value(found, "inferspan_slow_predictions_total") == 0
    for outcome in ("correct", "incorrect"):
        labels = {"outcome": outcome, "target": "default"}
        assert value(found, "inferspan_evaluations_total", **labels) == 0
    assert samples(found, "inferspan_quality_outcomes_total") == []


def test_models_without_an_objective_have_no_slow_predictions(store: FilledStore) -> None:
    store.add(Prediction("a"))
    assert samples(scraped(started(store, Config())), "inferspan_slow_predictions_total") == []


def test_a_correction_takes_nothing_back(store: FilledStore) -> None:
    routes = started(store)
    store.add(*labelled_predictions([("fraud", "fraud")] * 3))
    name = "inferspan_evaluations_total"
    assert value(scraped(routes), name, outcome="correct") == 3
    store.add(Label("order-0", "legit", label_id="label-fraud-0", revision=1))
    found = scraped(routes)
    assert value(found, name, outcome="correct") == 3
    assert value(found, name, outcome="incorrect") == 1
    score = {"metric": "accuracy", "window": "1h"}
    assert value(found, "inferspan_quality_score", **score) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["inferspan_evaluations", "inferspan_quality_outcomes"])
def test_an_incorrect_counter_leads_to_the_newest_mistake(store: FilledStore, name: str) -> None:
    routes = started(store)
    store.add(*labelled_predictions([("fraud", "legit"), ("fraud", "fraud")]))
    ((_, exemplar),) = samples(scraped(routes), f"{name}_total", outcome="incorrect")
    assert exemplar is not None
    assert exemplar.labels == {"trace_id": f"{1:032x}", "span_id": f"{1:016x}"}
    ((_, exemplar),) = samples(scraped(routes), f"{name}_total", outcome="correct")
    assert exemplar is None
    received = START_NS + 5 * MINUTE_NS
    store.add(Label("order-1", "legit", label_id="other", revision=9, received=received))
    ((_, exemplar),) = samples(scraped(routes), f"{name}_total", outcome="incorrect")
    assert exemplar is not None
    assert exemplar.labels["trace_id"] == f"{2:032x}"
    assert float(exemplar.timestamp or 0) == received / 1e9


def test_the_newest_mistakes_are_remembered(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "MISTAKES_MAX", 5)
    routes = started(store)
    for i in range(12):
        time = START_NS + i * MINUTE_NS
        store.add(
            Prediction(f"o{i}", f"c{i}", span=i + 1, trace=i + 1, event_time=time),
            Label(f"o{i}", "other", f"l{i}", time=time, received=time),
        )
    found = samples(scraped(routes), "inferspan_quality_outcomes_total", outcome="incorrect")
    traces = {int(e.labels["trace_id"], 16) for _, e in found if e is not None}
    assert len(found) == 12
    assert traces == {8, 9, 10, 11, 12}


def test_an_old_mistake_is_no_exemplar(store: FilledStore) -> None:
    store.add(*labelled_predictions([("fraud", "legit")]))
    store.now = START_NS + MINUTE_NS + EXEMPLAR_NS
    found = samples(scraped(started(store)), "inferspan_evaluations_total", outcome="incorrect")
    assert [exemplar for _, exemplar in found] == [None]


def test_a_slow_bucket_leads_to_a_call_whose_span_came(store: FilledStore) -> None:
    routes = started(store)
    slow = 80 * MILLISECOND_NS
    store.add(
        Prediction("a", trace=7, span=1, duration=slow, received=START_NS + 1),
        Prediction("b", trace=8, span=2, duration=slow, received=START_NS + 2),
        # Of this one only a slim record came: there may be no trace of it.
        Prediction("c", trace=9, span=3, duration=slow, received=START_NS + 3, kind=0),
    )
    ((n, exemplar),) = samples(scraped(routes), f"{DURATIONS}_bucket", le="0.1")
    assert n == 3
    assert exemplar is not None
    assert exemplar.labels == {"trace_id": f"{8:032x}", "span_id": f"{2:016x}"}
    assert exemplar.value == 0.08


def test_the_slowest_calls_of_a_large_transaction_are_shown(store: FilledStore) -> None:
    routes = started(store)
    store.add(
        *(Prediction(f"p{i}", trace=i + 1, span=i + 1, duration=i * 10_000) for i in range(500))
    )
    ((_, exemplar),) = samples(scraped(routes), f"{DURATIONS}_bucket", le="0.005")
    assert exemplar is not None
    assert 468 < int(exemplar.labels["trace_id"], 16) <= 500


def test_the_newest_label_says_when_it_was_received(store: FilledStore) -> None:
    store.add(*labelled_predictions([("fraud", "fraud")] * 2))
    name = "inferspan_label_newest_timestamp_seconds"
    labels = {"model": "fraud", "version": "7", "target": "default"}
    assert value(scraped(started(store)), name, **labels) == (START_NS + MINUTE_NS) / 1e9


def test_series_beyond_the_limit_fold_and_stay_whole(store: FilledStore) -> None:
    config = Config(limits=Limits(metric_series=100))
    routes = started(store, config)
    for i in range(8):
        store.add(*(Prediction(f"{i}-{j}", version=f"{i}", span=10 * i + j) for j in range(2)))
    found = scraped(routes)
    # A histogram of sixteen buckets, its sum and its count: five of them.
    assert len(samples(found, f"{DURATIONS}_count")) == 6
    assert sum(n for n, _ in samples(found, f"{DURATIONS}_count")) == 16
    assert value(found, "inferspan_predictions_total", version="__other__", status="ok") == 6
    for _ in range(2):
        folded = value(scraped(routes), "inferspan_folded_values_total", label="metrics:calls")
        assert folded == 3


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from(["5", "6"]), st.integers(0, 4 * 10**10), st.booleans()),
        max_size=30,
    ),
    st.integers(1, 5),
)
def test_however_often_it_is_asked_all_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, int, bool]], step: int
) -> None:
    store = FilledStore(tmp_path_factory.mktemp("store"))
    routes = started(store)
    rows = [
        Prediction(
            f"p{i}",
            version=version,
            span=i + 1,
            duration=duration,
            error_type="E" if failed else None,
        )
        for i, (version, duration, failed) in enumerate(calls)
    ]
    for at in range(0, len(rows), step):
        store.add(*rows[at : at + step])
        found = scraped(routes)
    for version in {row.version for row in rows}:
        mine = [row for row in rows if row.version == version]
        labels = {"version": version or ""}
        for place, edge in enumerate(EDGES_NS):
            found_here = samples(found, f"{DURATIONS}_bucket", **labels)[place][0]
            assert found_here == sum(row.duration <= edge for row in mine)
        assert value(found, f"{DURATIONS}_count", **labels) == len(mine)
        failed_n = sum(row.error_type is not None for row in mine)
        assert value(found, "inferspan_predictions_total", status="error", **labels) == failed_n
    store.close()
