"""Fβ, specificity and negative predictive value, and how sure the figures of a matrix are."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from quality_counts import Pair, counts_of, labelled_rows
from sklearn import metrics
from statsmodels.stats.inter_rater import cohens_kappa

from inferspan.semconv import BINARY
from inferspan_collector.quality.classification import figures, per_class
from inferspan_collector.quality.figure import Question
from inferspan_collector.quality.intervals import Z

some_rows = labelled_rows().filter(bool)
EXACT = {"rel": 0, "abs": 1e-12}
BETAS = {"f2": 2.0, "f0_5": 0.5}


def by_scikit_learn(rows: list[Pair], average: str | None) -> dict[str, object]:
    actual, predicted = [a for _, a in rows], [p for p, _ in rows]
    found: dict[str, object] = {
        name: metrics.fbeta_score(actual, predicted, beta=beta, average=average, zero_division=0)
        for name, beta in BETAS.items()
    }
    return found


def negatives(rows: list[Pair]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(specificity, negative predictive value, support) of each class; NaN = undefined."""
    actual, predicted = [a for _, a in rows], [p for p, _ in rows]
    names = np.unique(actual + predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrices = metrics.multilabel_confusion_matrix(actual, predicted, labels=names)
    tn, fp, fn = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0]
    with np.errstate(invalid="ignore"):
        return tn / (tn + fp), tn / (tn + fn), fn + matrices[:, 1, 1]


@pytest.mark.parametrize("average", ["macro", "weighted"])
@given(rows=some_rows)
def test_averages_over_classes(average: str, rows: list[Pair]) -> None:
    found = figures(counts_of(rows), Question(average))
    for name, value in by_scikit_learn(rows, average).items():
        assert found[name].value == pytest.approx(value, **EXACT), name
    *values, support = negatives(rows)
    weights = support if average == "weighted" else np.ones(len(support))
    for name, each in zip(("specificity", "negative_predictive_value"), values, strict=True):
        expected = np.average(np.nan_to_num(each), weights=weights)
        assert found[name].value == pytest.approx(expected, **EXACT), name


@given(rows=some_rows)
def test_micro_is_of_all_pairs_of_row_and_class(rows: list[Pair]) -> None:
    found = figures(counts_of(rows), Question("micro"))
    for name, value in by_scikit_learn(rows, "micro").items():
        assert found[name].value == pytest.approx(value, **EXACT), name
    names = {text for pair in rows for text in pair}
    if len(names) == 1:
        assert "one class" in (found["specificity"].reason or "")
        return
    wrong = sum(p != a for p, a in rows)
    expected = 1 - wrong / (len(rows) * (len(names) - 1))
    assert found["specificity"].value == pytest.approx(expected, **EXACT)
    assert found["specificity"] == found["negative_predictive_value"]


@given(rows=some_rows)
def test_each_class_of_its_own(rows: list[Pair]) -> None:
    table = per_class(counts_of(rows))
    specificity, npv, _ = negatives(rows)
    betas = by_scikit_learn(rows, None)
    for i, one in enumerate(table.values()):
        for name, values in betas.items():
            assert one[name].value == pytest.approx(values[i], **EXACT), name  # type: ignore[index]
        for name, value in (
            ("specificity", specificity[i]),
            ("negative_predictive_value", npv[i]),
        ):
            assert (one[name].value is None) == bool(np.isnan(value)), name
            assert one[name].value is None or one[name].value == pytest.approx(value, **EXACT)


@given(rows=some_rows)
def test_kappa_has_the_interval_of_its_large_sample_variance(rows: list[Pair]) -> None:
    found = figures(counts_of(rows), Question("macro"))["cohen_kappa"]
    names = sorted({text for pair in rows for text in pair})
    if found.value is None or not -1 < found.value < 1:
        return
    table = np.zeros((len(names), len(names)))
    for p, a in rows:
        table[names.index(p), names.index(a)] += 1
    with np.errstate(all="ignore"):
        oracle = cohens_kappa(table)
    if oracle.var_kappa < 1e-15:
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
        return
    assert oracle.kappa == pytest.approx(found.value, **EXACT)
    # Fisher's z: its standard error is that of kappa ÷ (1 - kappa²).
    half = Z * np.sqrt(max(0.0, oracle.var_kappa)) / (1 - found.value**2)
    middle = np.arctanh(found.value)
    expected = np.tanh(middle - half), np.tanh(middle + half)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("rows", [100, 1000])
def test_the_intervals_cover_the_true_figures(classes: int, rows: int) -> None:
    """Samples of a known matrix: 95 of 100 intervals hold the figure of the matrix itself."""
    random = np.random.default_rng(classes * rows)
    shares = random.dirichlet(np.ones(classes * classes)).reshape(classes, classes)
    shares = (shares + 3 * np.diag(shares.diagonal())) / (shares.sum() + 3 * np.trace(shares))
    names = [f"c{i}" for i in range(classes)]

    def found(counts: np.ndarray) -> dict[str, tuple[float, float, float]]:
        cells = {
            (names[p], names[a]): int(n) for (p, a), n in np.ndenumerate(counts.astype(int)) if n
        }
        right = int(np.trace(counts))
        total = int(counts.sum())
        kept = counts_of(
            [("c0", "c0")],
            BINARY,
            predictions=total,
            correct=right,
            incorrect=total - right,
            confusion=cells,
        )
        return {
            f"{name} {average}": (f.value or 0.0, f.low or 0.0, f.high or 0.0)
            for average in ("macro", "weighted", "micro")
            for name, f in figures(kept, Question(average)).items()
        }

    truth = found(np.rint(shares * 10**9))
    covered = dict.fromkeys(truth, 0)
    for _ in range(300):
        drawn = found(random.multinomial(rows, shares.ravel()).reshape(classes, classes))
        for name, (true, _, _) in truth.items():
            covered[name] += drawn[name][1] <= true <= drawn[name][2]
    for name, times in covered.items():
        assert 0.90 <= times / 300 <= 0.995, (name, times / 300)
