"""Gauges by the time of the prediction: the figures of the API, of the last windows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask, labelled_predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from records import MINUTE_NS, START_NS, Prediction
from test_metrics_arrivals import samples, scraped, started, value

from inferspan_collector.config import Config, Model, Publish
from inferspan_collector.publish import api
from inferspan_collector.publish.jaeger_names import service_names

NAMES = ("fraud", "legit", "unsure")
WINDOWS = Config(publish=Publish(quality_windows=("60m", "1d")))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    filled.now = START_NS + 30 * MINUTE_NS
    yield filled
    filled.close()


def test_how_many_predictions_a_window_holds(store: FilledStore) -> None:
    store.add(
        Prediction("a", span=1),
        Prediction("b", span=2, error_type="E", predicted=None),
        Prediction("c", span=3, event_time=START_NS - 120 * MINUTE_NS),
    )
    found = scraped(started(store))
    name = "inferspan_window_predictions"
    assert value(found, name, status="ok", window="1h") == 1
    assert value(found, name, status="error", window="1h") == 1
    assert value(found, name, status="ok", window="1d") == 2


def test_quantiles_of_latency_per_version(store: FilledStore) -> None:
    durations = [int(d) for d in np.random.default_rng(3).lognormal(16, 1, 400)]
    store.add(
        *(Prediction(f"a{i}", span=i + 1, duration=d) for i, d in enumerate(durations)),
        *(Prediction(f"b{i}", span=1000 + i, version="8", duration=10**9) for i in range(5)),
    )
    found = scraped(started(store))
    name = "inferspan_latency_quantile_seconds"
    for quantile in ("0.5", "0.95", "0.99"):
        exact = np.quantile(durations, float(quantile), method="inverted_cdf") / 1e9
        shown = value(found, name, share=quantile, version="7", window="1h")
        assert shown == pytest.approx(exact, rel=0.0055)
        shown = value(found, name, share=quantile, version="8", window="1h")
        assert shown == pytest.approx(1.0, rel=0.0055)


def test_the_share_within_the_latency_objective(store: FilledStore) -> None:
    store.add(*(Prediction(f"a{i}", span=i + 1, duration=i * 10_000_000) for i in range(10)))
    found = scraped(started(store))
    assert value(found, "inferspan_latency_within_ratio", window="1h") == 0.6
    assert value(found, "inferspan_latency_objective_seconds", model="fraud") == 0.05
    assert value(found, "inferspan_objective_ratio", model="fraud", objective="latency") == 0.99


def test_cells_of_the_confusion_matrix(store: FilledStore) -> None:
    store.add(*labelled_predictions([("fraud", "legit")] * 2 + [("legit", "legit")] * 3))
    found = scraped(started(store))
    name = "inferspan_quality_confusion"
    assert value(found, name, predicted="fraud", actual="legit", window="1h") == 2
    assert value(found, name, predicted="legit", actual="legit", window="1h") == 3


def test_what_is_configured(store: FilledStore) -> None:
    model = Model(
        owner="payments", runbook="https://runbooks/1", accuracy_objective=0.9,
        availability_objective=0.999,
    )  # fmt: skip
    store.add(Prediction("a", model="other"))
    found = scraped(started(store, Config(models={"fraud": model})))
    info = {"owner": "payments", "runbook": "https://runbooks/1", "description": ""}
    assert value(found, "inferspan_model_info", model="fraud", **info) == 1
    assert value(found, "inferspan_model_info", model="other", owner="") == 1
    assert value(found, "inferspan_objective_ratio", objective="accuracy") == 0.9
    assert value(found, "inferspan_objective_ratio", objective="availability") == 0.999
    assert samples(found, "inferspan_latency_objective_seconds") == []
    assert value(found, "inferspan_links_info", grafana="", jaeger="") == 1
    assert len(samples(found, "inferspan_build_info")) == 1


def test_where_readers_find_what_alerts_lead_to(store: FilledStore) -> None:
    sections = {"publish": {"grafana": "https://g/x/"}, "jaeger": {"ui": "http://j:16686"}}
    found = scraped(started(store, Config.model_validate(sections)))
    assert value(found, "inferspan_links_info", grafana="https://g/x", jaeger="http://j:16686") == 1


def test_where_jaeger_has_the_evaluations_of_services_that_look_alike(store: FilledStore) -> None:
    alike = ["fraud.api", "fraud_api", "fraud/api"]
    for at, service in enumerate(alike):
        # A name is told apart from those of other models' services, too.
        store.add(Prediction("a", service=service, model=f"fraud {at}", span=at + 1))
    config = Config.model_validate({"jaeger": {"ui": "http://j:16686"}})
    found = scraped(started(store, config))
    for service, safe in service_names(alike).items():
        if service:
            evaluations = f"{safe}-quality"
            info = {"service": service, "evaluations": evaluations}
            assert value(found, "inferspan_jaeger_service_info", **info) == 1
    assert samples(scraped(started(store)), "inferspan_jaeger_service_info") == []


def rfc3339(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).isoformat().replace("+00:00", "Z")


def asked(store: FilledStore, window: str, average: str) -> Any:
    """The window of the API that a gauge's window is, of version 7."""
    end = store.now // MINUTE_NS + 1
    start = end - {"60m": 60, "1d": 1440}[window]
    times = f"from={rfc3339(start)}&to={rfc3339(end)}".replace(":", "%3A")
    url = f"/api/v1/models/fraud/quality?version=7&average={average}&{times}"
    return ask(api.routes(store, store.config), url).json()["windows"]


@settings(max_examples=12)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from((*NAMES, None)),
            st.integers(0, 100),
            st.sampled_from(["7", "8"]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_the_figures_are_those_of_the_api(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str | None, int, str]]
) -> None:
    store = FilledStore(tmp_path_factory.mktemp("store"), WINDOWS)
    store.now = START_NS + 30 * MINUTE_NS
    for i, (predicted, actual, minutes, version) in enumerate(rows):
        both = labelled_predictions(
            [(predicted, actual or "")],
            i,
            start=store.now - minutes * MINUTE_NS - i * 10**9,
            version=version,
            task="multiclass_classification",
            positive_class=None,
        )
        store.add(*(both if actual else both[:1]))
    found = scraped(started(store, WINDOWS))
    for window in ("60m", "1d"):
        for average in ("macro", "micro", "weighted"):
            windows = asked(store, window, average)
            for name in ("precision", "recall", "f1", "accuracy", "cohen_kappa"):
                shown = average if name in ("precision", "recall", "f1") else ""
                labels = {"version": "7", "metric": name, "average": shown, "window": window}
                figure = windows[0]["metrics"][name] if windows else {"value": None}
                for suffix, key in (("", "value"), ("_lower", "low"), ("_upper", "high")):
                    wanted = [] if figure.get(key) is None else [figure[key]]
                    values = samples(found, f"inferspan_quality_score{suffix}", **labels)
                    assert [v for v, _ in values] == pytest.approx(wanted, abs=1e-9)
                if figure["value"] is not None:
                    assert value(found, "inferspan_quality_score_n", **labels) == figure["n"]
        for of_coverage in (each["metrics"]["coverage"] for each in windows):
            labels = {"version": "7", "window": window}
            for suffix, key in (("", "value"), ("_lower", "low"), ("_upper", "high"), ("_n", "n")):
                shown_ratio = value(found, f"inferspan_quality_coverage_ratio{suffix}", **labels)
                assert shown_ratio == pytest.approx(of_coverage[key], abs=1e-12)
    store.close()
