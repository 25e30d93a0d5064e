"""The figures of a confusion matrix equal scikit-learn's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quality_counts import CLASS_NAMES, Pair, counts_of, labelled_rows
from sklearn import metrics

from inferspan.semconv import BINARY, MULTICLASS, MULTILABEL, REGRESSION
from inferspan_collector.quality.accuracy import figures as accuracy_figures
from inferspan_collector.quality.classification import (
    confusion_matrix,
    figures,
    per_class,
)
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.telemetry import OTHER

some_rows = labelled_rows().filter(bool)
EXACT = {"rel": 0, "abs": 1e-12}


def columns(rows: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """(y_true, y_pred)."""
    return [actual for _, actual in rows], [predicted for predicted, _ in rows]


def equal(figure: Figure, expected: float) -> bool:
    """NaN is what scikit-learn says where we say null."""
    if figure.value is None or np.isnan(expected):
        return figure.value is None and bool(np.isnan(expected))
    return figure.value == pytest.approx(expected, **EXACT)


@given(rows=some_rows)
def test_the_matrix_has_scikit_learns_classes_and_counts(rows: list[Pair]) -> None:
    names, matrix = confusion_matrix(counts_of(rows))
    assert names == np.unique(columns(rows)).tolist()
    with warnings.catch_warnings():
        # "A single label was found": it is a matrix all the same
        warnings.simplefilter("ignore")
        expected = metrics.confusion_matrix(*columns(rows), labels=names)
    assert matrix == expected.tolist()


@given(rows=some_rows)
def test_accuracy(rows: list[Pair]) -> None:
    figure = accuracy_figures(counts_of(rows), Question("macro"))["accuracy"]
    assert equal(figure, metrics.accuracy_score(*columns(rows)))
    assert figure.n == len(rows)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@given(rows=some_rows)
def test_averages_over_classes(average: str, rows: list[Pair]) -> None:
    expected = metrics.precision_recall_fscore_support(
        *columns(rows), average=average, zero_division=0
    )
    found = figures(counts_of(rows), Question(average))
    for name, value in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        assert equal(found[name], float(value)), name
        assert found[name].n == len(rows)


@given(rows=some_rows)
def test_each_class_of_its_own(rows: list[Pair]) -> None:
    table = per_class(counts_of(rows))
    names = np.unique(columns(rows)).tolist()
    expected = metrics.precision_recall_fscore_support(
        *columns(rows), labels=names, average=None, zero_division=np.nan
    )
    assert list(table) == names
    for i, name in enumerate(names):
        for key, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
            assert equal(table[name][key], float(values[i])), (name, key)


@given(
    names=st.lists(CLASS_NAMES, min_size=2, max_size=2, unique=True),
    picks=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40),
)
def test_binary(names: list[str], picks: list[tuple[int, int]]) -> None:
    # Both classes appear, or scikit-learn does not know that the task is binary.
    rows = [(names[p], names[a]) for p, a in [*picks, (0, 1)]]
    expected = metrics.precision_recall_fscore_support(
        *columns(rows), average="binary", pos_label=names[1], zero_division=np.nan
    )
    found = figures(counts_of(rows, BINARY), Question("binary", names[1]))
    for name, value in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        assert equal(found[name], float(value)), name


@given(rows=some_rows, data=st.data())
def test_binary_beside_more_classes_is_the_positive_one_against_the_rest(
    rows: list[Pair], data: st.DataObject
) -> None:
    positive = data.draw(st.sampled_from(sorted({text for pair in rows for text in pair})))
    expected = metrics.precision_recall_fscore_support(
        *columns(rows), labels=[positive], average="macro", zero_division=np.nan
    )
    found = figures(counts_of(rows), Question("binary", positive))
    for name, value in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        assert equal(found[name], float(value)), name


@given(rows=some_rows)
def test_figures_of_the_whole_matrix(rows: list[Pair]) -> None:
    found = figures(counts_of(rows), Question("macro"))
    with warnings.catch_warnings():
        # "y_pred contains classes not in y_true", and an undefined kappa
        warnings.simplefilter("ignore")
        expected = {
            "balanced_accuracy": metrics.balanced_accuracy_score(*columns(rows)),
            "matthews_corrcoef": metrics.matthews_corrcoef(*columns(rows)),
            "cohen_kappa": metrics.cohen_kappa_score(*columns(rows)),
        }
    for name, value in expected.items():
        assert equal(found[name], float(value)), (name, found[name], value)


def test_n_is_what_the_interval_rests_on() -> None:
    rows = [("a", "a")] * 5 + [("a", "b")] * 3 + [("b", "a")] * 2 + [("b", "b")] * 7
    found = figures(counts_of(rows, BINARY), Question("binary", "a"))
    assert (found["precision"].n, found["recall"].n, found["f1"].n) == (8, 7, 10)


def test_without_a_positive_class_binary_says_what_to_declare() -> None:
    found = figures(counts_of([("a", "b")], BINARY), Question("binary"))
    assert found["f1"].value is None
    assert "positive" in (found["f1"].reason or "")
    assert found["balanced_accuracy"].value == 0.0


def test_several_positive_classes_are_named() -> None:
    counts = counts_of([("a", "b")], BINARY, positive_classes=frozenset({"b", "a"}))
    reason = figures(counts, Question("binary"))["precision"].reason or ""
    assert "(a, b)" in reason
    assert "version" in reason


@pytest.mark.parametrize("task", [None, MULTILABEL, REGRESSION, "generation"])
def test_other_tasks_have_no_figures_of_classes(task: str | None) -> None:
    counts = counts_of([("a", "a"), ("a", "b")], task)
    found = figures(counts, Question("macro"))
    assert {figure.value for figure in found.values()} == {None}
    assert all((task or "not declared") in (figure.reason or "") for figure in found.values())
    assert per_class(counts) == {}
    assert accuracy_figures(counts, Question("macro"))["accuracy"].value == 0.5


def test_tasks_mixed_in_one_group_are_told_apart() -> None:
    mixed = counts_of([("a", "a")], MULTICLASS) + counts_of([("a", "a")], None)
    assert "not declared" in (figures(mixed, Question("macro"))["f1"].reason or "")


def test_folded_classes_void_only_what_they_touch() -> None:
    # Two of three rows that look right on the diagonal of the folded class are not.
    rows = [("a", "a"), ("a", OTHER), (OTHER, OTHER), (OTHER, OTHER)]
    counts = counts_of(rows, correct=2, incorrect=2, positive_classes=frozenset({"a"}))
    macro = figures(counts, Question("macro", "a"))
    assert {figure.value for figure in macro.values()} == {None}
    assert "limits.classes" in (macro["f1"].reason or "")
    assert figures(counts, Question("micro"))["f1"].value == 0.5
    assert figures(counts, Question("binary", "a"))["precision"].value == 0.5
    assert figures(counts, Question("binary", "elsewhere"))["recall"].value is None
    assert per_class(counts)["a"]["recall"].value == 1.0
    assert per_class(counts)[OTHER]["recall"].value is None


def test_large_counts_stay_exact() -> None:
    n = 10**12
    counts = Counts(
        predictions=3 * n,
        correct=2 * n,
        incorrect=n,
        confusion={("a", "a"): n, ("b", "b"): n, ("a", "b"): n},
        tasks=frozenset([BINARY]),
    )
    found = figures(counts, Question("binary", "a"))
    assert found["precision"].value == 0.5
    # (2·3 - (2·1 + 1·2)) / sqrt((9 - 5)·(9 - 5)) for one million million rows each
    assert found["matthews_corrcoef"].value == 0.5
    assert found["cohen_kappa"].value == pytest.approx(1 - 3 / 5, **EXACT)
