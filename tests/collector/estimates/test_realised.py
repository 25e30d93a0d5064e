"""What became true of estimated figures is scikit-learn's, and degenerate rows have a reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from inferspan.semconv import BINARY, MULTICLASS, REGRESSION
from inferspan_collector.estimates.calibration import AS_GIVEN
from inferspan_collector.estimates.confidence_based import Binary, Multiclass
from inferspan_collector.estimates.direct_loss import FIGURES, DirectLoss
from inferspan_collector.estimates.foresight import Foresight
from inferspan_collector.estimates.outlook import outlooks
from inferspan_collector.estimates.realised import realised
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.one_against_rest import OneAgainstRest
from inferspan_collector.store.feature_blocks import Features
from inferspan_collector.store.row_columns import UNLABELLED, Probabilities, RowColumns

CLASSES = ("a", "b", "c")


def rows_of(n: int, task: str, **given: object) -> RowColumns:
    """N rows of a task, of which nothing is known but what is given."""
    none, nan = np.full(n, None, np.object_), np.full(n, np.nan)
    columns: dict[str, object] = {
        **dict.fromkeys(("environment", "version", "variant", "positive_class"), none),
        **dict.fromkeys(("predicted", "actual"), none),
        **dict.fromkeys(("score", "value", "truth"), nan),
        **dict.fromkeys(("adjusted_count", "weight"), np.ones(n)),
        "row_id": np.arange(n),
        "key_high": np.zeros(n, np.uint64),
        "key_low": np.arange(n, dtype=np.uint64),
        "position": np.zeros(n, np.int32),
        "task": np.full(n, task, np.object_),
        "event_time": np.arange(n),
        "failed": np.zeros(n, np.bool_),
        "correct": np.full(n, UNLABELLED, np.int8),
        "lag": np.full(n, -1),
        "features": Features(),
        "probabilities": Probabilities((), np.empty((n, 0))),
    }
    return RowColumns(**(columns | given))  # type: ignore[arg-type]


def is_it(figure: Figure, exact: float, name: str) -> None:
    if np.isnan(exact):
        assert figure.value is None, name
        assert figure.reason, name
    else:
        assert figure.value == pytest.approx(exact, rel=1e-9, abs=1e-12), name


scores = st.sampled_from([0.0, 0.2, 0.5, 0.5000001, 1.0]) | st.floats(0, 1)
weights = st.sampled_from([0.25, 1.0, 3.0, 10.0])


@given(st.lists(st.tuples(scores, st.booleans(), st.booleans(), weights), max_size=40))
def test_two_classes(drawn: list[tuple[float, bool, bool, float]]) -> None:
    score, weight = (np.array([row[k] for row in drawn]) for k in (0, 3))
    said, true = (np.array([row[k] for row in drawn], bool) for k in (1, 2))
    texts = np.array(["no", "yes"], np.object_)
    rows = rows_of(
        len(drawn), BINARY, score=score, predicted=texts[said.astype(int)],
        actual=texts[true.astype(int)], correct=(said == true).astype(np.int8), weight=weight,
    )  # fmt: skip
    found = realised(rows, Foresight(None, "cbpe", "yes", Binary(AS_GIVEN)))
    about = {"sample_weight": weight}
    nan = {"zero_division": np.nan, **about}
    both = len({*true.tolist()}) == 2
    exact = {
        "accuracy": metrics.accuracy_score(true, said, **about) if drawn else np.nan,
        "precision": metrics.precision_score(true, said, **nan) if drawn else np.nan,
        "recall": metrics.recall_score(true, said, **nan) if drawn else np.nan,
        "specificity": metrics.recall_score(~true, ~said, **nan) if drawn else np.nan,
        "f1": metrics.f1_score(true, said, **nan) if drawn else np.nan,
        "roc_auc": metrics.roc_auc_score(true, score, **about) if both else np.nan,
    }
    assert set(found) == set(exact)
    for name, value in exact.items():
        is_it(found[name], value, name)
        bounded(found[name], name)


def bounded(figure: Figure, name: str) -> None:
    if figure.value is not None:
        assert figure.low is not None, name
        assert figure.high is not None, name
        assert 0 <= figure.low <= figure.value + 1e-12, (name, figure)
        assert figure.value - 1e-12 <= figure.high <= 1, (name, figure)


@given(weight=st.sampled_from([0.25, 7.0, 1e6]), seed=st.integers(0, 2**32))
def test_rows_that_weigh_alike_are_as_sure_as_rows_that_weigh_one(weight: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, true = rng.random(50), rng.random(50) < 0.5
    texts = np.array(["no", "yes"], np.object_)
    found = []
    for each in (1.0, weight):
        rows = rows_of(
            50, BINARY, score=score, predicted=texts[(score > 0.5).astype(int)],
            actual=texts[true.astype(int)], correct=((score > 0.5) == true).astype(np.int8),
            weight=np.full(50, each),
        )  # fmt: skip
        found.append(realised(rows, Foresight(None, "cbpe", "yes", Binary(AS_GIVEN))))
    for name, figure in found[1].items():
        plain = found[0][name]
        assert figure.n == plain.n, name
        if figure.value is not None:
            ends = (figure.value, figure.low, figure.high)
            assert ends == pytest.approx((plain.value, plain.low, plain.high), abs=1e-9), name


@given(st.integers(1, 60), st.integers(0, 2**32), st.integers(1, 3))
def test_several_classes(n: int, seed: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.ones(3), n)
    said, true = table.argmax(axis=1), rng.integers(0, kinds, n)
    names = np.array(CLASSES, np.object_)
    rows = rows_of(
        n, MULTICLASS, predicted=names[said], actual=names[true],
        correct=(said == true).astype(np.int8), probabilities=Probabilities(CLASSES, table),
    )  # fmt: skip
    found = realised(rows, Foresight(None, "cbpe", fitted=Multiclass(CLASSES, (AS_GIVEN,) * 3)))
    about = {"labels": [0, 1, 2], "average": "macro", "zero_division": 0}
    exact = {
        "accuracy": metrics.accuracy_score(true, said),
        "precision": metrics.precision_score(true, said, **about),
        "recall": metrics.recall_score(true, said, **about),
        "specificity": np.mean(
            [metrics.recall_score(true != k, said != k, zero_division=0) for k in range(3)]
        ),
        "f1": metrics.f1_score(true, said, **about),
        "roc_auc": np.nan,
    }
    if len(np.unique(true)) == 3:
        exact["roc_auc"] = metrics.roc_auc_score(true, table, multi_class="ovr")
    assert set(found) == set(exact)
    for name, value in exact.items():
        is_it(found[name], value, name)
        bounded(found[name], name)


@given(
    st.lists(st.tuples(scores, st.booleans(), weights), min_size=1, max_size=40),
    st.sampled_from([1.0, 7.0]),
)
def test_an_area_is_as_sure_as_that_of_the_quality_whatever_scores_are(
    drawn: list[tuple[float, bool, float]], spread: float
) -> None:
    score, weight = (np.array([row[k] for row in drawn]) for k in (0, 2))
    true = np.array([row[1] for row in drawn], bool)
    texts = np.array(["no", "yes"], np.object_)[true.astype(int)]
    # Margins order rows as probabilities do.
    rows = rows_of(
        len(drawn), BINARY, score=(score - 0.5) * spread if spread > 1 else score,
        predicted=texts, actual=texts, correct=np.ones(len(drawn), np.int8), weight=weight,
    )  # fmt: skip
    found = realised(rows, Foresight(None, "cbpe", "yes", Binary(AS_GIVEN)))["roc_auc"]
    distinct = {float(each) for each in rows.score}
    assert found == OneAgainstRest.of(score, true, weight).area() or len(distinct) < len(
        {float(each) for each in score}
    )


numbers = st.floats(-0.9, 1e6) | st.sampled_from([0.0, -5.0, 1e308, -1e308, np.inf, np.nan])


@given(st.lists(st.tuples(numbers, numbers, weights), min_size=1, max_size=30))
def test_numbers(pairs: list[tuple[float, float, float]]) -> None:
    truth, value, weight = (np.array([pair[k] for pair in pairs]) for k in (0, 1, 2))
    rows = rows_of(
        len(pairs), REGRESSION, truth=truth, value=value, weight=weight,
        correct=np.full(len(pairs), -1, np.int8),
    )  # fmt: skip
    found = realised(rows, Foresight(None, "dle", fitted=DirectLoss({})))
    assert set(found) == set(FIGURES)
    finite = np.isfinite(truth) & np.isfinite(value)
    for name, figure in found.items():
        assert (figure.value is None) == bool(figure.reason), name
        assert figure.value is None or np.isfinite(figure.value), (name, figure)
        assert figure.low is None or figure.low <= (figure.value or 0) <= (figure.high or 0)
    truth, value, about = truth[finite], value[finite], {"sample_weight": weight[finite]}
    if len(truth) and np.abs([truth, value]).max() < 1e100:
        mae = metrics.mean_absolute_error(truth, value, **about)
        is_it(found["mean_absolute_error"], mae, "mae")
        square = metrics.mean_squared_error(truth, value, **about)
        is_it(found["mean_squared_error"], square, "mse")
        is_it(found["root_mean_squared_error"], np.sqrt(square), "rmse")
        logs = np.nan
        if min(truth.min(), value.min()) > -1:
            logs = metrics.mean_squared_log_error(truth, value, **about)
        is_it(found["mean_squared_log_error"], logs, "msle")


@pytest.mark.parametrize("huge", [3.0, 1e160, 1e308, -1e308, np.inf])
def test_errors_beyond_all_measure_are_foreseen_as_none_or_a_number(huge: float) -> None:
    rng = np.random.default_rng(1)
    actual = rng.normal(size=300)
    predicted = actual + rng.normal(size=300)
    predicted[0] = huge
    fitted = DirectLoss.fitted(np.empty((300, 0)), predicted, actual)
    rows = rows_of(300, REGRESSION, value=predicted)
    for name, outlook in outlooks(rows, Foresight(None, "dle", fitted=fitted), {}).items():
        for number in (outlook.estimated.value, outlook.estimated.low, outlook.estimated.high):
            assert number is None or np.isfinite(number), name
