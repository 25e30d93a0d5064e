"""DLE: errors foreseen from features, and the trees that do it beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from inferspan_collector.estimates import boosted_trees
from inferspan_collector.estimates.confidence_based import NOTHING
from inferspan_collector.estimates.direct_loss import FIGURES, ROWS_MIN, DirectLoss

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def prices(n: int, seed: int, noisy: float) -> Rows:
    """(features, predicted, actual): errors are 5 times as large where the first feature is 1."""
    rng = np.random.default_rng(seed)
    features = np.column_stack([rng.random(n) < noisy, rng.normal(size=n), rng.random(n)])
    features = features.astype(float)
    features[rng.random(n) < 0.1, 2] = np.nan
    predicted = 100 + 10 * features[:, 1]
    actual = predicted + rng.normal(size=n) * np.where(features[:, 0] == 1, 10, 2)
    return features, predicted, actual


def errors(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    off = actual - predicted
    logs = np.log1p(actual) - np.log1p(predicted)
    return {
        "mean_absolute_error": np.abs(off).mean(),
        "mean_squared_error": (off**2).mean(),
        "root_mean_squared_error": np.sqrt((off**2).mean()),
        "mean_absolute_percentage_error": np.abs(off / actual).mean(),
        "mean_squared_log_error": (logs**2).mean(),
        "root_mean_squared_log_error": np.sqrt((logs**2).mean()),
    }


def test_it_foresees_that_errors_grow_when_harder_rows_come() -> None:
    features, predicted, actual = prices(10_000, 1, noisy=0.2)
    fitted = DirectLoss.fitted(features, predicted, actual)
    features, predicted, actual = prices(5_000, 2, noisy=0.8)
    estimates, true = fitted.estimates(features, predicted), errors(predicted, actual)
    assert set(estimates) == set(true) == set(FIGURES)
    for name, estimate in estimates.items():
        assert estimate.value == pytest.approx(true[name], rel=0.06), name
        assert 0 <= estimate.low < estimate.value < estimate.high


def test_without_features_it_knows_the_errors_by_what_was_predicted() -> None:
    _, predicted, actual = prices(5_000, 3, noisy=0.5)
    nothing = np.empty((5_000, 0))
    estimates = DirectLoss.fitted(nothing, predicted, actual).estimates(nothing, predicted)
    true = errors(predicted, actual)["mean_absolute_error"]
    assert estimates["mean_absolute_error"].value == pytest.approx(true, rel=0.01)


def test_what_rows_weigh_decides_how_large_errors_are_said_to_be() -> None:
    # Half of the rows are off by 1, and stand for four each; the others are off by 6.
    predicted, nothing = np.zeros(1_000), np.empty((1_000, 0))
    even = np.arange(1_000) % 2 == 0
    actual, weight = np.where(even, 1.0, 6.0), np.where(even, 4.0, 1.0)
    fitted = DirectLoss.fitted(nothing, predicted, actual, weight)
    estimate = fitted.estimates(nothing, predicted)["mean_absolute_error"]
    assert estimate.value == pytest.approx(2.0)
    # A feature tells them apart: then it matters of how many of which there are now.
    seen = even.astype(float)[:, None]
    fitted = DirectLoss.fitted(seen, predicted, actual, weight)
    for each, exact in ((None, 3.5), (weight, 2.0)):
        estimate = fitted.estimates(seen, predicted, each)["mean_absolute_error"]
        assert estimate.value == pytest.approx(exact, rel=0.001)


def test_rows_that_weigh_differently_are_worth_fewer() -> None:
    features, predicted, actual = prices(2_000, 8, noisy=0.5)
    fitted = DirectLoss.fitted(features, predicted, actual)
    widths = []
    for weight in (np.ones(2_000), np.full(2_000, 7.0), np.where(np.arange(2_000) % 9, 1.0, 50.0)):
        estimate = fitted.estimates(features, predicted, weight)["mean_absolute_error"]
        widths.append(estimate.high - estimate.low)
    assert widths[1] == pytest.approx(widths[0])
    assert widths[2] > 2 * widths[0]


def test_a_small_reference_and_no_rows_say_nothing() -> None:
    features, predicted, actual = prices(ROWS_MIN - 1, 4, noisy=0.5)
    small = DirectLoss.fitted(features, predicted, actual)
    assert small.estimates(features, predicted) == dict.fromkeys(FIGURES, NOTHING)
    features, predicted, actual = prices(1_000, 4, noisy=0.5)
    fitted = DirectLoss.fitted(features, predicted, actual)
    assert set(fitted.estimates(features[:0], predicted[:0]).values()) == {NOTHING}


def test_what_is_no_number_is_left_out_and_what_is_not_defined_is_not_said() -> None:
    features, predicted, actual = prices(1_000, 5, noisy=0.5)
    actual[:10], predicted[10:20] = np.nan, np.inf
    actual[20:] -= 200
    estimates = DirectLoss.fitted(features, predicted, actual).estimates(features, predicted)
    assert estimates["mean_squared_log_error"] == NOTHING
    assert estimates["root_mean_squared_log_error"] == NOTHING
    assert estimates["mean_absolute_error"].value == pytest.approx(200, rel=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_the_trees_are_nearly_as_good_as_scikit_learns_of_their_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(6_000, 6))
    features[rng.random(features.shape) < 0.05] = np.nan
    clean = np.nan_to_num(features)
    target = clean[:, 0] * 3 + np.sin(3 * clean[:, 1]) * 2 + (clean[:, 2] > 0) * clean[:, 3]
    target = target + rng.normal(scale=0.5, size=6_000)
    theirs = HistGradientBoostingRegressor(
        max_iter=boosted_trees.TREES,
        learning_rate=boosted_trees.RATE,
        max_depth=boosted_trees.DEPTH,
        max_bins=boosted_trees.BINS - 2,
        min_samples_leaf=boosted_trees.LEAF_ROWS_MIN,
        early_stopping=False,
    ).fit(features[:4_000], target[:4_000])
    ours = boosted_trees.fitted(features[:4_000], target[:4_000])
    asked, truth = features[4_000:], target[4_000:]
    our_error = np.mean((ours(asked) - truth) ** 2)
    assert our_error < 1.15 * np.mean((theirs.predict(asked) - truth) ** 2)


@pytest.mark.parametrize("n", [1, 39])
def test_of_few_rows_or_constant_ones_the_mean_is_learnt(n: int) -> None:
    target = np.arange(n, dtype=float)
    model = boosted_trees.fitted(np.arange(n, dtype=float)[:, None], target)
    assert model(np.array([[0.0], [np.nan]])) == pytest.approx([target.mean()] * 2)
    constant = boosted_trees.fitted(np.zeros((100, 2)), np.arange(100.0))
    assert constant(np.zeros((1, 2))) == pytest.approx([49.5])
