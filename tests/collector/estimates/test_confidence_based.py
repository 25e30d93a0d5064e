"""CBPE beside its definition, written row by row, and beside the truth that it foresees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from inferspan_collector.estimates.calibration import AS_GIVEN
from inferspan_collector.estimates.confidence_based import (
    FIGURES,
    NOTHING,
    Binary,
    Multiclass,
    TopScore,
    expected,
)

Rows = tuple[np.ndarray, np.ndarray]


@st.composite
def scored(draw: st.DrawFn) -> Rows:
    """Probabilities of the positive class, and whether it was predicted."""
    shares = st.floats(0, 1).map(lambda share: round(share, 6)) | st.sampled_from(
        [0.0, 0.25, 0.5, 1.0]
    )
    scores = np.array(draw(st.lists(shares, min_size=1, max_size=40)))
    return scores, scores >= draw(st.sampled_from([0.0, 0.5, 1.1]))


def weights_of(rows: Rows, weighs: bool) -> np.ndarray:
    """For how many rows each stands: scores of one kind for more than the others."""
    n = len(rows[0])
    return np.where(rows[0] > 0.4, 10.0, 0.25) + np.arange(n) % 3 if weighs else np.ones(n)


def weighted(rows: Rows, weight: np.ndarray) -> dict[str, list[float] | list[int]]:
    """Every row twice, right with its probability and wrong with the rest: scikit-learn's words."""
    scores, predicted = rows
    return {
        "y_true": [1] * len(scores) + [0] * len(scores),
        "y_pred": [*predicted.astype(int).tolist()] * 2,
        "sample_weight": [*(weight * scores).tolist(), *(weight * (1 - scores)).tolist()],
    }


@given(rows=scored(), weighs=st.booleans())
def test_estimates_are_the_figures_of_expected_rows(rows: Rows, weighs: bool) -> None:
    weight = weights_of(rows, weighs)
    estimates = Binary(AS_GIVEN).estimates(*rows, weight if weighs else None)
    twice = weighted(rows, weight)
    theirs = {
        "accuracy": accuracy_score(**twice),
        "precision": precision_score(**twice, zero_division=np.nan),
        "recall": recall_score(**twice, zero_division=np.nan),
        "specificity": recall_score(**twice, pos_label=0, zero_division=np.nan),
        "f1": f1_score(**twice, zero_division=np.nan),
    }
    for name, value in theirs.items():
        ours = estimates[name].value
        assert ours is None if np.isnan(value) else ours == pytest.approx(value, abs=1e-9), name


@given(rows=scored(), weighs=st.booleans())
def test_the_expected_area_is_that_of_expected_rows(rows: Rows, weighs: bool) -> None:
    scores, _ = rows
    positives, weight = scores.sum(), weights_of(rows, weighs)
    assume(1e-6 < positives < len(scores) - 1e-6)
    twice = weighted(rows, weight)
    exact = roc_auc_score(twice["y_true"], [*scores, *scores], sample_weight=twice["sample_weight"])
    estimate = Binary(AS_GIVEN).estimates(*rows, weight)["roc_auc"]
    assert estimate.value == pytest.approx(exact, abs=1e-6)


@given(rows=scored(), each=st.sampled_from([0.25, 3.0, 1e6]))
def test_rows_that_weigh_alike_are_as_sure_as_rows_that_weigh_one(rows: Rows, each: float) -> None:
    plain = Binary(AS_GIVEN).estimates(*rows)
    for name, estimate in Binary(AS_GIVEN).estimates(*rows, np.full(len(rows[0]), each)).items():
        ends = [(found.value, found.low, found.high) for found in (estimate, plain[name])]
        assert (None in ends[0]) == (None in ends[1]), name
        if None not in ends[0]:
            assert ends[0] == pytest.approx(ends[1], abs=1e-6), name


@given(rows=scored(), data=st.data(), weighs=st.booleans())
def test_expected_cells_of_parts_add_up(rows: Rows, data: st.DataObject, weighs: bool) -> None:
    scores, predicted = rows
    weight = weights_of(rows, weighs)
    mine = np.array(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))))
    parts = [expected(scores[held], predicted[held], weight[held]) for held in (mine, ~mine)]
    merged = parts[0] + parts[1]
    whole = expected(scores, predicted, weight)
    assert (merged.predicted, merged.others) == pytest.approx((whole.predicted, whole.others))
    for name in FIGURES[:-1]:
        one, other = getattr(merged, name)(), getattr(whole, name)()
        assert (one.value is None) == (other.value is None)
        if one.value is not None:
            assert one.value == pytest.approx(other.value, abs=1e-9)
            assert one.low == pytest.approx(other.low, abs=1e-6)


@given(rows=scored())
def test_an_estimate_lies_in_its_interval_and_in_its_range(rows: Rows) -> None:
    for estimate in Binary(AS_GIVEN).estimates(*rows).values():
        if estimate.value is not None:
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_of_no_rows_nothing_is_said() -> None:
    none = np.empty(0)
    assert Binary(AS_GIVEN).estimates(none, none.astype(bool)) == dict.fromkeys(FIGURES, NOTHING)
    many = Multiclass(("a", "b"), (AS_GIVEN, AS_GIVEN))
    assert many.estimates(np.empty((0, 2)), none.astype(int))["f1"] == NOTHING
    assert TopScore({}, AS_GIVEN).estimates(none.astype(object), none)["accuracy"] == NOTHING


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def drawn_classes(n: int, seed: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(what an overconfident model says, what it predicts, the truth) of three classes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=spread, size=(n, 3))
    honest = softmax(logits)
    actual = (rng.random((n, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    said = softmax(logits * 2)
    return said, said.argmax(axis=1), actual


def test_it_foresees_the_fall_of_three_classes() -> None:
    said, predicted, actual = drawn_classes(40_000, 1, spread=2.0)
    fitted = Multiclass.fitted(("a", "b", "c"), said, actual)
    said, predicted, actual = drawn_classes(20_000, 2, spread=1.0)
    estimates = fitted.estimates(said, predicted)
    true = {
        "accuracy": accuracy_score(actual, predicted),
        "precision": precision_score(actual, predicted, average="macro"),
        "recall": recall_score(actual, predicted, average="macro"),
        "f1": f1_score(actual, predicted, average="macro"),
        "specificity": np.mean(
            [recall_score(actual != k, predicted != k) for k in range(3)], dtype=float
        ),
        "roc_auc": roc_auc_score(actual, said, multi_class="ovr"),
    }
    assert true["accuracy"] < 0.65
    for name, value in true.items():
        assert estimates[name].value == pytest.approx(value, abs=0.015), name


def test_the_score_of_the_predicted_class_alone_foresees_accuracy() -> None:
    said, predicted, actual = drawn_classes(40_000, 3, spread=2.0)
    names = np.array(["a", "b", "c"], dtype=object)
    fitted = TopScore.fitted(names[predicted], said.max(axis=1), predicted == actual)
    said, predicted, actual = drawn_classes(20_000, 4, spread=1.0)
    estimate = fitted.estimates(names[predicted], said.max(axis=1))["accuracy"]
    assert estimate.value == pytest.approx((predicted == actual).mean(), abs=0.03)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        scores = rng.beta(2, 1, size=300)
        predicted, actual = scores >= 0.5, rng.random(300) < scores
        estimate = Binary(AS_GIVEN).estimates(scores, predicted)["f1"]
        held += estimate.low <= f1_score(actual, predicted) <= estimate.high
    assert 0.92 < held / 400 < 0.98
