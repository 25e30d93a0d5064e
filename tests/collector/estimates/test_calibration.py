"""What a score is worth, beside scikit-learn's isotonic regression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from inferspan_collector.estimates.calibration import AS_GIVEN, calibrated, isotonic


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties or without, and truths that follow them or do not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 300))
    scores = rng.random(n)
    if draw(st.booleans()):
        scores = scores.round(draw(st.integers(0, 2)))
    slope = draw(st.sampled_from([-1.0, 0.0, 0.5, 1.0]))
    return scores, rng.random(n) < 0.5 + slope * (scores - 0.5)


@given(rows=labelled())
def test_isotonic_regression_is_that_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    scores, positive = rows
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, positive)
    asked = np.concatenate([scores, np.linspace(-0.5, 1.5, 101)])
    np.testing.assert_allclose(isotonic(scores, positive)(asked), theirs.predict(asked), atol=1e-12)


@given(rows=labelled(), seed=st.integers(0, 2**32))
def test_rows_that_weigh_are_those_of_scikit_learns_sample_weight(
    rows: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    scores, positive = rows
    weight = np.random.default_rng(seed).choice([0.25, 1.0, 3.0, 10.0], len(scores))
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, positive, weight)
    asked = np.concatenate([scores, np.linspace(-0.5, 1.5, 101)])
    ours = isotonic(scores, positive, weight)
    np.testing.assert_allclose(ours(asked), theirs.predict(asked), atol=1e-12)


@given(rows=labelled(), data=st.data(), weighs=st.booleans())
def test_the_order_of_rows_does_not_matter(
    rows: tuple[np.ndarray, np.ndarray], data: st.DataObject, weighs: bool
) -> None:
    scores, positive = rows
    order = np.array(data.draw(st.permutations(range(len(scores)))))
    weight = np.where(scores > 0.4, 4.0, 1.0) if weighs else np.ones(len(scores))
    ours = calibrated(scores, positive, weight)
    other = calibrated(scores[order], positive[order], weight[order])
    asked = np.linspace(0, 1, 51)
    np.testing.assert_allclose(ours(asked), other(asked), atol=1e-12)


def test_scores_that_promise_too_much_are_corrected_and_honest_ones_left_alone() -> None:
    rng = np.random.default_rng(3)
    honest = rng.random(20_000)
    positive = rng.random(20_000) < honest
    boasting = honest**0.25
    corrected = calibrated(boasting, positive)
    assert corrected(np.array([0.5**0.25]))[0] == pytest.approx(0.5, abs=0.05)
    # Scores of which each is its own share, but for what a sample may be off.
    assert np.abs(calibrated(honest, positive)(honest) - honest).mean() < 0.02


@pytest.mark.parametrize("truth", [True, False])
def test_a_reference_of_one_class_teaches_nothing(truth: bool) -> None:
    assert calibrated(np.linspace(0, 1, 100), np.full(100, truth)) is AS_GIVEN
