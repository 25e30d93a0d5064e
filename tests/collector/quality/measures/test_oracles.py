"""Measures equal scikit-learn, to 1e-9; what rests on binned scores to its stated bound."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from judged_rows import CLASSES, judged, numbers, scores, sets
from sklearn import metrics
from sklearn.calibration import calibration_curve

from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.judged import Judged
from inferspan_collector.quality.measures import (
    binary_scores,
    class_scores,
    errors,
    evaluations,
    label_sets,
)
from inferspan_collector.quality.one_against_rest import OneAgainstRest
from inferspan_collector.quality.score_bins import auc_error

EXACT = {"rel": 1e-9, "abs": 1e-9}
BINARY = Question("binary", "a")
MACRO = Question("macro")
weights = st.one_of(st.just(1.0), st.integers(1, 40).map(lambda k: k / 8))
three_decimals = st.integers(0, 1000).map(lambda k: k / 1000)


def value(figure: Figure) -> float:
    assert figure.value is not None, figure.reason
    return figure.value


def columns(rows: list[tuple[object, ...]]) -> list[list]:  # type: ignore[type-arg]
    return [list(column) for column in zip(*rows, strict=True)]


binary_rows = st.lists(st.tuples(st.booleans(), scores, weights), min_size=1, max_size=60)


def binary(rows: list[tuple[bool, float, float]]) -> tuple[Judged, np.ndarray, np.ndarray, list]:  # type: ignore[type-arg]
    truth, score, weight = columns(rows)
    made = judged(actual=["a" if t else "b" for t in truth], score=score, weight=weight)
    return made, np.array(truth), np.array(score), weight


@given(rows=binary_rows)
def test_losses_of_binary_scores(rows: list[tuple[bool, float, float]]) -> None:
    made, truth, score, weight = binary(rows)
    found = binary_scores.State.of(made, BINARY).figures(BINARY)
    expected = metrics.log_loss(truth, score, sample_weight=weight, labels=[False, True])
    assert value(found["log_loss"]) == pytest.approx(expected, **EXACT)
    expected = metrics.brier_score_loss(truth, score, sample_weight=weight, pos_label=True)
    assert value(found["brier_score"]) == pytest.approx(expected, **EXACT)


@given(rows=binary_rows)
def test_scores_are_ordered_exactly(rows: list[tuple[bool, float, float]]) -> None:
    made, truth, score, weight = binary(rows)
    found = binary_scores.State.of(made, BINARY).figures(BINARY)
    if not truth.any():
        assert "this class" in (found["roc_auc"].reason or "")
        assert found["average_precision"].value is None
        return
    expected = metrics.average_precision_score(truth, score, sample_weight=weight)
    assert value(found["average_precision"]) == pytest.approx(expected, **EXACT)
    if truth.all():
        assert "another class" in (found["roc_auc"].reason or "")
        return
    expected = metrics.roc_auc_score(truth, score, sample_weight=weight)
    assert value(found["roc_auc"]) == pytest.approx(expected, **EXACT)


@given(rows=binary_rows, most=st.integers(2, 40), data=st.data())
def test_coarser_bins_hold_the_stated_bound_and_merge_to_the_same(
    rows: list[tuple[bool, float, float]], most: int, data: st.DataObject
) -> None:
    _, truth, score, weight = binary(rows)
    whole = OneAgainstRest.of(score, truth, np.array(weight), most)
    assert len(whole.bins) <= max(most, 2)
    order = data.draw(st.permutations(range(len(rows))))
    cut = data.draw(st.integers(0, len(rows)))
    parts = [
        OneAgainstRest.of(score[part], truth[part], np.array(weight)[part], most)
        for part in (order[:cut], order[cut:])
    ]
    again = parts[0].merged(parts[1], most)
    assert again.shift == whole.shift
    for name in ("bins", "positive", "negative"):
        assert getattr(again, name).tolist() == getattr(whole, name).tolist()
    if truth.any() and not truth.all():
        error = auc_error(whole.positive, whole.negative)
        expected = metrics.roc_auc_score(truth, score, sample_weight=weight)
        assert abs(value(whole.area()) - expected) <= error + 1e-9


@pytest.mark.parametrize("shift", [0.5, 1.5, 3.0])
@pytest.mark.parametrize("rate", [0.5, 0.02])
def test_the_error_of_an_auc_is_below_the_promise(shift: float, rate: float) -> None:
    # 200,000 continuous scores of models from weak to strong, of common and of rare events.
    random = np.random.default_rng(3)
    truth = random.random(200_000) < rate
    margin = random.normal(size=len(truth)) + shift * truth - shift / 2 + np.log(rate / (1 - rate))
    score = 1 / (1 + np.exp(-margin))
    found = OneAgainstRest.of(score, truth, np.ones(len(score)))
    assert found.shift > 0
    assert value(found.area()) == pytest.approx(metrics.roc_auc_score(truth, score), abs=1e-6)
    expected = metrics.average_precision_score(truth, score)
    assert value(found.average_precision()) == pytest.approx(expected, abs=1e-4)


@given(rows=binary_rows)
def test_the_reliability_curve(rows: list[tuple[bool, float, float]]) -> None:
    made, truth, score, _ = binary([(t, s, 1.0) for t, s, _ in rows])
    state = binary_scores.State.of(made, BINARY)
    happened, mean = calibration_curve(truth, score, n_bins=10)
    curve = state.calibration.curve()
    assert [point[0] for point in curve] == pytest.approx(mean.tolist(), **EXACT)
    assert [point[1] for point in curve] == pytest.approx(happened.tolist(), **EXACT)
    shares = np.array([point[2] for point in curve]) / len(rows)
    expected = float(shares @ np.abs(happened - mean))
    assert value(state.figures(BINARY)["expected_calibration_error"]) == pytest.approx(
        expected, **EXACT
    )


@given(rows=st.lists(st.tuples(st.booleans(), three_decimals, st.just(1.0)), min_size=1))
def test_the_confusion_at_every_threshold(rows: list[tuple[bool, float, float]]) -> None:
    made, truth, score, _ = binary(rows)
    table = binary_scores.State.of(made, BINARY).scores.thresholds()
    assert len(table) == len(set(score.tolist()))
    for threshold, *cells in table:
        said = score >= threshold
        tn, fp, fn, tp = metrics.confusion_matrix(truth, said, labels=[False, True]).ravel()
        assert cells == [tp, fp, fn, tn]


@st.composite
def probability_rows(draw: st.DrawFn) -> tuple[list[str], np.ndarray, list[float]]:
    n = draw(st.integers(1, 40))
    raw = draw(
        st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any), min_size=n,
                 max_size=n)
    )  # fmt: skip
    matrix = np.array(raw, np.float64)
    truth = draw(st.lists(st.sampled_from(CLASSES[:3]), min_size=n, max_size=n))
    weight = draw(st.lists(weights, min_size=n, max_size=n))
    return truth, matrix / matrix.sum(axis=1, keepdims=True), weight


@given(rows=probability_rows(), order=st.permutations(range(3)))
def test_probabilities_of_classes(
    rows: tuple[list[str], np.ndarray, list[float]], order: list[int]
) -> None:
    truth, matrix, weight = rows
    # The columns in whatever order they were declared.
    made = judged(
        actual=truth,  # type: ignore[arg-type]
        weight=weight,
        probabilities=matrix[:, order].tolist(),
        classes=tuple(CLASSES[column] for column in order),
    )
    found = class_scores.State.of(made, MACRO).figures(MACRO)
    names = list(CLASSES[:3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = metrics.log_loss(truth, matrix, sample_weight=weight, labels=names)
        brier = metrics.brier_score_loss(truth, matrix, sample_weight=weight, labels=names)
        top = metrics.top_k_accuracy_score(truth, matrix, k=2, sample_weight=weight, labels=names)
    assert value(found["log_loss"]) == pytest.approx(loss, **EXACT)
    assert value(found["brier_score"]) == pytest.approx(brier, **EXACT)
    assert value(found["top_2_accuracy"]) == pytest.approx(top, **EXACT)
    assert "always among" in (found["top_3_accuracy"].reason or "")


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_one_against_the_rest(average: str) -> None:
    random = np.random.default_rng(5)
    truth = random.integers(0, 3, 3000)
    weight = random.choice([0.25, 1.0, 3.0], 3000)
    margin = random.normal(size=(3000, 3)) + 1.5 * np.eye(3)[truth]
    matrix = np.exp(margin) / np.exp(margin).sum(axis=1, keepdims=True)
    made = judged(
        actual=[CLASSES[t] for t in truth],
        probabilities=matrix.tolist(),
        classes=CLASSES[:3],
        weight=weight.tolist(),
    )
    question = Question(average)
    found = class_scores.State.of(made, question).figures(question)
    about = {"average": average, "sample_weight": weight}
    expected = metrics.roc_auc_score(np.eye(3)[truth], matrix, **about)
    assert value(found["roc_auc"]) == pytest.approx(expected, **EXACT)
    expected = metrics.average_precision_score(np.eye(3)[truth], matrix, **about)
    assert value(found["average_precision"]) == pytest.approx(expected, **EXACT)
    for name in ("roc_auc", "average_precision"):
        figure = found[name]
        assert figure.n == 3000
        assert figure.low is not None
        assert figure.high is not None
        assert 0 < figure.low < value(figure) < figure.high < 1


set_rows = st.lists(st.tuples(sets, sets, weights), min_size=1, max_size=30)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@given(rows=set_rows)
def test_sets_of_classes(average: str, rows: list[tuple[str, str, float]]) -> None:
    predicted, actual, weight = columns(rows)  # type: ignore[arg-type]
    held = [set(json.loads(text)) for text in (*predicted, *actual)]
    names = sorted(set().union(*held))
    assume(len(names) > 1)
    said = np.array([[name in one for name in names] for one in held[: len(rows)]], int)
    true = np.array([[name in one for name in names] for one in held[len(rows) :]], int)
    question = Question(average)
    state = label_sets.State.of(judged(predicted=predicted, actual=actual, weight=weight), question)
    found = state.figures(question)
    more = {"average": average, "sample_weight": weight, "zero_division": 0}
    expected = {
        "precision": metrics.precision_score(true, said, **more),
        "recall": metrics.recall_score(true, said, **more),
        "f1": metrics.f1_score(true, said, **more),
        "f2": metrics.fbeta_score(true, said, beta=2, **more),
        "hamming_loss": metrics.hamming_loss(true, said, sample_weight=weight),
        "jaccard": metrics.jaccard_score(
            true, said, average="samples", sample_weight=weight, zero_division=1
        ),
    }
    for name, oracle in expected.items():
        if average == "weighted" and not true.any() and name not in ("hamming_loss", "jaccard"):
            continue
        assert value(found[name]) == pytest.approx(oracle, **EXACT), name


@given(rows=st.lists(st.tuples(numbers, numbers, weights), min_size=2, max_size=40))
def test_errors_of_numbers(rows: list[tuple[float, float, float]]) -> None:
    said, true, weight = columns(rows)  # type: ignore[arg-type]
    made = judged(value=said, truth=true, weight=weight)
    found = errors.State.of(made, MACRO).figures(MACRO)
    e = np.array(said) - np.array(true)
    average = {"weights": weight}
    both = np.abs(said) + np.abs(true)
    with np.errstate(invalid="ignore"):
        symmetric = np.where(both > 0, 2 * np.abs(e) / np.where(both > 0, both, 1), 0)
    expected = {
        "bias": np.average(e, **average),  # type: ignore[call-overload]
        "mean_absolute_error": metrics.mean_absolute_error(true, said, sample_weight=weight),
        "mean_squared_error": metrics.mean_squared_error(true, said, sample_weight=weight),
        "root_mean_squared_error": metrics.root_mean_squared_error(
            true, said, sample_weight=weight
        ),
        "mean_absolute_percentage_error": metrics.mean_absolute_percentage_error(
            true, said, sample_weight=weight
        ),
        "symmetric_mean_absolute_percentage_error": np.average(symmetric, **average),  # type: ignore[call-overload]
    }
    for name, oracle in expected.items():
        assert value(found[name]) == pytest.approx(oracle, rel=1e-9, abs=1e-9), name
    size = float(np.abs(true) @ weight)
    if size:
        assert value(found["weighted_absolute_percentage_error"]) == pytest.approx(
            float(np.abs(e) @ weight) / size, rel=1e-9
        )
    if min(*said, *true) > -1:
        oracle = metrics.mean_squared_log_error(true, said, sample_weight=weight)
        assert value(found["mean_squared_log_error"]) == pytest.approx(oracle, **EXACT)
        assert value(found["root_mean_squared_log_error"]) == pytest.approx(
            np.sqrt(oracle), rel=1e-9, abs=1e-6
        )
    else:
        assert "logarithm" in (found["mean_squared_log_error"].reason or "")
    spread = np.average((np.array(true) - np.average(true, **average)) ** 2, **average)  # type: ignore[call-overload]
    if spread > 1e-6 * max(1.0, np.max(np.square(true))):
        oracle = metrics.r2_score(true, said, sample_weight=weight)
        assert value(found["r2_score"]) == pytest.approx(oracle, rel=1e-6, abs=1e-9)


def test_r2_far_from_zero_keeps_its_digits() -> None:
    # Twelve digits of the mean of squares cancel; sums that do not round keep all the others.
    true = [1e9 + k for k in range(100)]
    said = [t + (-1) ** k * 0.5 for k, t in enumerate(true)]
    found = errors.State.of(judged(value=said, truth=true), MACRO).figures(MACRO)
    assert value(found["r2_score"]) == pytest.approx(1 - 25 / 83325, rel=1e-12)


def test_equal_truths_have_no_r2() -> None:
    found = errors.State.of(judged(value=[0.1, 0.2], truth=[0.1, 0.1]), MACRO).figures(MACRO)
    assert "all the same" in (found["r2_score"].reason or "")


@given(values=st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=80))
def test_quantiles_of_residuals(values: list[float]) -> None:
    made = judged(value=values, truth=[0.0] * len(values))
    found = errors.State.of(made, MACRO).figures(MACRO)
    for name, share in errors.QUANTILES.items():
        exact = float(np.quantile(values, share, method="inverted_cdf"))
        assert value(found[name]) == pytest.approx(exact, rel=0.0055, abs=1e-300), name


def test_evaluations_pass_by_their_class_or_from_a_score_on() -> None:
    made = judged(
        actual=["pass", "FAIL", None, None, "so so"],
        truth=[0.2, 0.9, 0.7, 0.4, 0.5],
        weight=[1.0, 1.0, 1.0, 1.0, 2.0],
    )
    alone = evaluations.State.of(made, MACRO).figures(MACRO)
    assert (alone["pass_rate"].value, alone["pass_rate"].n) == (0.5, 2)
    question = Question("macro", passes_from=0.5)
    found = evaluations.State.of(made, question).figures(question)
    assert (found["pass_rate"].value, found["pass_rate"].n) == (4 / 6, 5)
    assert value(found["score_mean"]) == pytest.approx((0.2 + 0.9 + 0.7 + 0.4 + 1.0) / 6)
    assert value(found["score_p50"]) == pytest.approx(0.5, rel=0.0055)


@pytest.mark.parametrize("n", [200, 400])
def test_intervals_hold_what_they_promise(n: int) -> None:
    """300 samples of known populations: about 95 of 100 intervals hold the true figure."""
    random = np.random.default_rng(n)

    def classes(size: int) -> tuple[Judged, Callable[[Judged], dict[str, Figure]]]:
        score = random.beta(2, 2, size)
        truth = random.random(size) < np.clip(score * 1.2 - 0.1, 0, 1)
        made = judged(actual=np.where(truth, "a", "b").tolist(), score=score.tolist())
        return made, lambda rows: binary_scores.State.of(rows, BINARY).figures(BINARY)

    def values(size: int) -> tuple[Judged, Callable[[Judged], dict[str, Figure]]]:
        true = random.gamma(4, 2, size)
        made = judged(value=(true + random.normal(0.2, 1, size)).tolist(), truth=true.tolist())
        return made, lambda rows: errors.State.of(rows, MACRO).figures(MACRO)

    for draw in (classes, values):
        rows, figures = draw(100_000)
        truth = {name: figure.value for name, figure in figures(rows).items()}
        covered = dict.fromkeys(truth, 0)
        for _ in range(300):
            sample, _ = draw(n)
            for name, figure in figures(sample).items():
                true = truth[name]
                if true is None or figure.low is None or figure.high is None:
                    covered[name] += 1
                else:
                    covered[name] += figure.low <= true <= figure.high
        for name, times in covered.items():
            least = 0.8 if name == "expected_calibration_error" else 0.9
            assert least <= times / 300, (name, times / 300)
