"""A model that is as it was alerts seldom, however few windows its reference has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from estimates.test_realised import rows_of

from inferspan.semconv import BINARY, REGRESSION
from inferspan_collector.config import Model
from inferspan_collector.drift.passes import followed
from inferspan_collector.estimates.outlook import outlooks
from inferspan_collector.publish.foreseeing import thresholds_of
from inferspan_collector.publish.references import ReferenceRows
from inferspan_collector.store.feature_blocks import Features
from inferspan_collector.store.row_columns import RowColumns

MODELS, PER_WINDOW = 8, 300
Kind = Callable[[np.random.Generator, int], RowColumns]
FEW = 0.07
"""Of windows, or of windows x figures of drift; with thresholds of two windows it was a third."""


def even(rng: np.random.Generator, n: int) -> RowColumns:
    """Two classes, as many of one as of the other; scores are what they say."""
    return scored(rng, rng.uniform(size=n))


def rare(rng: np.random.Generator, n: int) -> RowColumns:
    """One in ten is of the positive class."""
    return scored(rng, rng.beta(0.2, 1.8, n))


def scored(rng: np.random.Generator, score: np.ndarray) -> RowColumns:
    said, true = (
        np.where(each, "yes", "no").astype(object)
        for each in (score >= 0.5, rng.random(len(score)) < score)
    )
    return rows_of(
        len(score), BINARY, score=score, predicted=said, actual=true,
        correct=(said == true).astype(np.int8), positive_class=np.full(len(score), "yes", object),
        features=seen(rng, len(score)),
    )  # fmt: skip


def numbers(rng: np.random.Generator, n: int) -> RowColumns:
    """Prices, with errors that are as large everywhere."""
    value = rng.uniform(10, 100, n)
    return rows_of(
        n, REGRESSION, value=value, truth=value + rng.normal(size=n),
        correct=np.full(n, -1, np.int8), features=seen(rng, n),
    )  # fmt: skip


def seen(rng: np.random.Generator, n: int) -> Features:
    texts = rng.choice(np.array(["DE", "FR", "IT"], object), n, p=[0.6, 0.3, 0.1])
    return Features({"amount": rng.lognormal(size=n)}, {"country": texts})


def reference(rows: RowColumns, windows: int) -> ReferenceRows:
    places = np.arange(len(rows)) * windows // len(rows)
    return ReferenceRows(rows, "first", places, windows)


def estimates_alert(known: ReferenceRows, windows: list[RowColumns]) -> list[bool]:
    """Of each window whether any estimate alerts."""
    foreseen = known.foresight(None)
    thresholds = thresholds_of(known, foreseen, Model())
    return [
        any(each.alert for each in outlooks(rows, foreseen, thresholds, 30).values())
        for rows in windows
    ]


@pytest.mark.parametrize("windows", [1, 2, 3, 5, 7, 8, 9, 12])
@pytest.mark.parametrize("kind", [even, rare, numbers])
def test_estimates_of_healthy_models(kind: Kind, windows: int) -> None:
    alerting = []
    for seed in range(MODELS):
        rng = np.random.default_rng([seed, windows])
        rows = kind(rng, windows * PER_WINDOW)
        later = [kind(rng, PER_WINDOW) for _ in range(3)]
        own = [rows.take(part) for part in np.array_split(np.arange(len(rows)), windows)]
        alerting.append(estimates_alert(reference(rows, windows), own + later))
    assert np.mean(alerting) < FEW


@pytest.mark.parametrize("windows", [1, 2, 3, 5, 7, 8, 9, 12])
def test_drift_of_healthy_models(windows: int) -> None:
    alerts = []
    for seed in range(MODELS):
        rng = np.random.default_rng([seed, windows])
        known = reference(even(rng, windows * PER_WINDOW), windows)
        places = np.repeat(np.arange(3), PER_WINDOW)
        for each in followed(known.columns(), even(rng, 3 * PER_WINDOW), places, 3, lambda _: {}):
            alerts += [
                course.alerts for name, course in each.figures.items() if name != "chi_squared"
            ]
    assert np.mean(alerts) < FEW
