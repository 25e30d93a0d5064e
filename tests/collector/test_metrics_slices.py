"""Gauges of slices: as the API says them, within limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import FilledStore, ask
from records import START_NS, Label, Prediction
from starlette.routing import Route
from test_metrics_arrivals import samples, scraped, value

from inferspan_collector.config import Config, Publish
from inferspan_collector.publish import api, prometheus
from inferspan_collector.publish.metrics.row_figures import RowFigures
from inferspan_collector.publish.metrics.slices import KEYS_MAX, VALUES_MAX
from inferspan_collector.telemetry import FOLDED, OTHER

CONFIG = Config(publish=Publish(quality_windows=("1h",)))
GROUP = {"model": "fraud", "version": "7"}
PARTS = {"": "value", "_lower": "low", "_upper": "high", "_n": "n"}
COUNTRIES = ("DE", "FR", "NL")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path, CONFIG)
    filled.now = START_NS + 1_000_000_000
    yield filled
    filled.close()


def row(number: int, slices: dict[str, str]) -> Prediction:
    return Prediction(
        f"order-{number}", predicted="legit", trace=number + 1, span=number + 1, slices=slices
    )


def made(store: FilledStore) -> list[Route]:
    figures = RowFigures(store, CONFIG, store.telemetry, lambda: 0.0)
    figures.make()
    return prometheus.routes(store, store.telemetry, CONFIG, figures)


def test_each_slice_has_what_the_api_says_of_it(store: FilledStore) -> None:
    rows = [row(n, {"country": COUNTRIES[n % 3], "channel": "web"}) for n in range(90)]
    labels = [
        Label(f"order-{n}", "fraud" if n % 5 == n % 3 == 0 else "legit", f"label-{n}")
        for n in range(80)
    ]
    store.add(*rows, *labels, row(90, {}))

    found = scraped(made(store))

    for key, values in (("country", COUNTRIES), ("channel", ("web",))):
        url = f"/api/v1/models/fraud/quality?every=all&by=slice.{key}"
        windows = {
            window["group"][f"slice.{key}"]: window
            for window in ask(api.routes(store, CONFIG), url).json()["windows"]
        }
        shown = {**GROUP, "slice": key, "window": "1h"}
        assert len(samples(found, "inferspan_slice_predictions", **shown)) == len(values)
        for text in values:
            window, labelled = windows[text], {**shown, "value": text}
            n = value(found, "inferspan_slice_predictions", **labelled)
            assert n == window["predictions"]
            accuracy = window["metrics"]["accuracy"]
            for suffix, part in (("", "value"), ("_lower", "low"), ("_upper", "high"), ("_n", "n")):
                score = value(
                    found, f"inferspan_slice_score{suffix}", metric="accuracy", **labelled
                )
                assert score == pytest.approx(accuracy[part], rel=1e-12)


def test_a_slice_without_a_judged_row_has_predictions_only(store: FilledStore) -> None:
    store.add(row(0, {"country": "DE"}))
    found = scraped(made(store))
    assert value(found, "inferspan_slice_predictions", value="DE") == 1
    assert samples(found, "inferspan_slice_score") == []


def test_the_largest_values_stand_for_themselves_and_the_rest_together(store: FilledStore) -> None:
    more = VALUES_MAX + 5
    # One more prediction of each value than of the one before.
    values = [f"v{n:02}" for n in range(more) for _ in range(n + 1)]
    store.add(*(row(n, {"shop": text}) for n, text in enumerate(values)))

    routes = made(store)
    found = scraped(routes)

    shown = samples(found, "inferspan_slice_predictions", slice="shop")
    assert len(shown) == VALUES_MAX + 1
    assert sum(n for n, _ in shown) == len(values)
    rest = value(found, "inferspan_slice_predictions", slice="shop", value=OTHER)
    assert rest == sum(range(1, 6))
    scraped(routes)
    assert store.telemetry.get(FOLDED, label="metrics:slice") == 5


def test_what_the_store_folded_is_part_of_the_rest(store: FilledStore) -> None:
    values = [f"v{n:02}" for n in range(VALUES_MAX + 1) for _ in range(2)] + [OTHER] * 50
    store.add(*(row(n, {"shop": text}) for n, text in enumerate(values)))
    found = scraped(made(store))
    shown = samples(found, "inferspan_slice_predictions", slice="shop")
    assert sum(n for n, _ in shown) == len(values)
    assert value(found, "inferspan_slice_predictions", slice="shop", value=OTHER) == 52
    assert store.telemetry.get(FOLDED, label="metrics:slice") == 1


def test_slices_beyond_the_limit_are_left_out_and_counted(store: FilledStore) -> None:
    store.add(row(0, {f"k{n:02}": "x" for n in range(KEYS_MAX + 2)}))
    found = scraped(made(store))
    assert len(samples(found, "inferspan_slice_predictions")) == KEYS_MAX
    assert store.telemetry.get(FOLDED, label="metrics:slice") == 2
