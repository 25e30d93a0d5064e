"""Our text of OpenMetrics is that of Prometheus' own client, byte for byte."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pytest
from asking import FilledStore, ask, labelled_predictions
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from inferspan_collector.config import Config
from inferspan_collector.publish import prometheus
from inferspan_collector.publish.metrics import openmetrics

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ['"', "\\", "\n", "\r"]
)
VALUES = st.floats() | st.integers(-(2**60), 2**60).map(float)
COUNTS = st.integers(0, 2**40)
TIMES = st.none() | st.floats(0, 2e9)
EXEMPLARS = st.none() | st.builds(
    Exemplar, st.fixed_dictionaries({"trace_id": TEXTS, "span_id": TEXTS}), VALUES, TIMES
)


class Families(Collector):
    """What a client collects."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


@given(
    help_=TEXTS,
    rows=st.lists(st.tuples(TEXTS, TEXTS, VALUES, COUNTS, EXEMPLARS, TIMES), max_size=4),
)
def test_families_of_every_type_are_written_as_prometheus_client_does(
    help_: str, rows: list[tuple[str, str, float, int, Exemplar | None, float | None]]
) -> None:
    gauge = GaugeMetricFamily("inferspan_g_seconds", help_, labels=("b", "a"), unit="seconds")
    bare = GaugeMetricFamily("inferspan_bare", help_, value=math.nan)
    counter = CounterMetricFamily("inferspan_c", help_, labels=("b", "a"))
    histogram = HistogramMetricFamily("inferspan_h", help_, labels=("b", "a"))
    for one, other, value, n, exemplar, time in rows:
        gauge.add_metric((one, other), value, timestamp=time)
        counter.add_metric((one, other), n, exemplar=exemplar)
        buckets = [("0.5", n), ("1.0", n, exemplar), ("+Inf", n)]
        histogram.add_metric((one, other), buckets, sum_value=value)
    families = [gauge, bare, counter, histogram]
    assert openmetrics.written(families) == generate_latest(Families(families))


@pytest.mark.parametrize("escaping", ["", "; escaping=allow-utf-8", "; escaping=underscores"])
def test_a_whole_scrape_is_what_prometheus_client_would_write(
    tmp_path: Path, escaping: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilledStore(tmp_path, Config.model_validate({"jaeger": {"ui": "http://j:16686"}}))
    hostile = 'a"} 1\ninferspan_quality_score{model="b\\'
    pairs = [("fraud", "legit")] * 3 + [("legit", "legit")] * 5
    store.add(*labelled_predictions(pairs, model=hostile, version="é", service="a.b"))
    routes = prometheus.routes(store, store.telemetry, store.config)
    written: list[tuple[bytes, bytes]] = []
    own = openmetrics.written

    def both(families: Iterable[Metric]) -> bytes:
        held = list(families)
        written.append((own(held), generate_latest(Families(held))))
        return written[-1][0]

    monkeypatch.setattr(openmetrics, "written", both)
    accept = f"application/openmetrics-text; version=1.0.0{escaping}"
    response = ask(routes, "/metrics", {"accept": accept})
    store.close()
    ((ours, theirs),) = written
    assert ours == theirs == response.content
    assert b"# {" in ours


def test_whoever_wants_names_written_otherwise_gets_them(tmp_path: Path) -> None:
    store = FilledStore(tmp_path)
    routes = prometheus.routes(store, store.telemetry, store.config)
    accept = "application/openmetrics-text; version=1.0.0; escaping=dots"
    text = ask(routes, "/metrics", {"accept": accept}).text
    store.close()
    assert "inferspan__build__info" in text
