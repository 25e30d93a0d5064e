"""What a function returned → class, score, value: by the declared task, and never by guessing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from answers import (
    BATCHES,
    BINARY,
    CLASS,
    CLASSES,
    MATRIX,
    MULTI,
    OFFSETS,
    PROBA,
    PROBA3,
    PROBA_PLAIN,
    PROBA_THRESHOLD,
    REGRESSION,
    SCORE,
    SCORES,
    SETS,
    SINGLE,
    VALUE,
    VALUES,
)
from inferspan import semconv
from inferspan.output_columns import ROWS_MAX, OutputRule
from inferspan.output_probabilities import PROBABILITIES_MAX
from inferspan.outputs import Output, read_output
from misfits import MISFITS


def written(output: Output) -> dict[str, Any]:
    """The attributes that an output leaves on its span."""
    attributes: dict[str, Any] = {}
    output.write_to(attributes)
    assert output.recognised == bool(attributes)
    return attributes


@pytest.mark.parametrize(("rule", "returned", "expected"), SINGLE)
def test_one_prediction(rule: OutputRule, returned: object, expected: dict[str, Any]) -> None:
    output = read_output(returned, rule)
    assert output.dropped is None
    assert written(output) == expected
    assert output.rows is None


@pytest.mark.parametrize(("rule", "returned", "expected"), BATCHES)
def test_a_batch(rule: OutputRule, returned: object, expected: dict[str, Any]) -> None:
    output = read_output(returned, rule, 2)
    assert output.dropped is None
    assert written(output) == expected
    assert output.rows == 2


@pytest.mark.parametrize(("rule", "returned", "reason"), MISFITS)
def test_what_does_not_fit_is_not_guessed(rule: OutputRule, returned: object, reason: str) -> None:
    output = read_output(returned, rule)
    assert written(output) == {}
    assert output.rows is None
    assert reason in str(output.dropped)
    assert "; " in str(output.dropped)  # the remedy comes after it


@pytest.mark.parametrize(
    "rule",
    [
        OutputRule("embedding"),
        OutputRule("generation"),
        OutputRule("detection"),
        OutputRule(operation="embed"),
        OutputRule(operation="transform"),
    ],
)
def test_untyped_answers_are_no_misfits(rule: OutputRule) -> None:
    for returned in (np.ones((3, 4)), "text"):
        output = read_output(returned, rule)
        assert (written(output), output.rows, output.dropped) == ({}, None, None)


def test_a_batch_has_as_many_rows_as_its_input() -> None:
    output = read_output(np.array([1, 0]), BINARY, 3)
    assert output.dropped == "2 outputs for 3 input rows; return one per row"


def test_missing_numbers_keep_their_row() -> None:
    output = read_output(np.array([1.0, math.nan, math.inf]), REGRESSION)
    np.testing.assert_array_equal(written(output)[VALUES], [1.0, math.nan, math.nan])


def test_the_parts_that_a_task_does_not_have_are_left() -> None:
    assert written(read_output({"value": 2.5, "label": "x"}, REGRESSION)) == {VALUE: 2.5}


def test_nothing_in_nothing_out() -> None:
    assert read_output(np.array([]), REGRESSION).rows == 0
    assert read_output([], BINARY).rows == 0


@pytest.mark.parametrize("kind", [list, np.array], ids=["list", "array"])
def test_as_many_scores_as_classes_are_one_prediction_only_where_they_sum_to_one(kind: Any) -> None:
    one, several = kind([0.25, 0.75]), kind([0.5, 0.25])
    assert read_output(one, PROBA).probabilities == [0.25, 0.75]
    assert written(read_output(several, PROBA)) == {SCORES: [0.5, 0.25]}
    # Where the rows are known, they decide.
    assert read_output(one, PROBA, 2).scores == [0.25, 0.75]
    assert read_output(several, PROBA, 1).probabilities == [0.5, 0.25]


def test_what_was_returned_is_not_changed() -> None:
    array = np.array([[1.0 + 1e-7, 0.0]])
    array.setflags(write=False)
    assert written(read_output(array, PROBA))[MATRIX] == [1.0, 0.0]


@given(
    st.lists(
        st.lists(st.floats(0.001, 1), min_size=3, max_size=3).map(
            lambda row: [p / sum(row) for p in row]
        ),
        min_size=2,
        max_size=20,
    )
)
def test_class_and_score_follow_from_probabilities(rows: list[list[float]]) -> None:
    matrix = np.array(rows)
    attributes = written(read_output(matrix, PROBA3, len(rows)))
    best = matrix.argmax(axis=1)
    assert attributes[CLASSES] == [PROBA3.classes[i] for i in best]
    assert attributes[SCORES] == matrix.max(axis=1).tolist()


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.floats(width=32).map(np.float32),
    st.lists(st.floats(), max_size=4).map(np.array),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(
            st.sampled_from(["label", "score", "value", "probabilities", "x"]), inner, max_size=4
        ),
    ),
    max_leaves=8,
)
rules = st.builds(
    OutputRule,
    task=st.sampled_from([None, *semconv.TASKS]),
    operation=st.sampled_from(semconv.OPERATIONS),
    positive=st.sampled_from([None, "1"]),
    classes=st.sampled_from([(), ("0", "1"), ("a", "b", "c")]),
    threshold=st.sampled_from([None, 0.5]),
)


@given(anything, rules, st.sampled_from([None, 1, 2]))
def test_whatever_comes_is_recognised_whole_or_dropped_with_a_reason(
    returned: object, rule: OutputRule, input_rows: int | None
) -> None:
    output = read_output(returned, rule, input_rows)
    if output.dropped is not None:
        assert written(output) == {}
        return
    rows, attributes = output.rows, written(output)
    for name in (CLASSES, SCORES, VALUES):
        if rows is not None and name in attributes and OFFSETS not in attributes:
            assert len(attributes[name]) == rows
    for name in (CLASS, SCORE, VALUE):
        value = attributes.get(name)
        assert value is None or rows is None
        assert not isinstance(value, float) or math.isfinite(value)


@given(
    st.one_of(
        st.text(max_size=5),
        st.floats(),
        st.floats(0, 1),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        st.tuples(st.sampled_from(["a", "é", 1, True, 0.5]), st.floats()),
        st.dictionaries(
            st.sampled_from(["label", "score", "value"]),
            st.sampled_from(["a", 1, True, 0.5, 2.0, math.nan, None]),
        ),
    ),
    rules,
)
def test_the_usual_answers_are_read_as_the_unusual_ones(returned: Any, rule: OutputRule) -> None:
    kind = type(returned)
    plain = kind in (int, bool)
    unusual = np.array(returned)[()] if plain else type("Own", (kind,), {})(returned)
    usual, detour = read_output(returned, rule), read_output(unusual, rule)
    assert repr(written(usual)) == repr(written(detour))
    assert (usual.dropped is None) == (detour.dropped is None)


def test_a_batch_of_the_greatest_length_is_recorded() -> None:
    assert read_output(["a"] * ROWS_MAX, MULTI).rows == ROWS_MAX
    assert read_output(np.zeros(ROWS_MAX), REGRESSION).rows == ROWS_MAX
    assert read_output(["a"] * ROWS_MAX, SETS).dropped is None
    assert read_output(np.full((ROWS_MAX, 2), 0.5), PROBA).rows == ROWS_MAX


@given(
    st.lists(
        st.sampled_from([-0.0, 0.0, 0.25, 0.5, 1.0, 1.0 + 5e-7, 1.5, math.inf, math.nan]),
        min_size=2,
        max_size=2,
    ),
    st.sampled_from([np.float16, np.float32, np.float64, np.longdouble]),
)
@pytest.mark.parametrize("rule", [PROBA, PROBA_THRESHOLD, PROBA_PLAIN], ids=["binary", "at", "two"])
def test_one_row_of_probabilities_is_read_as_each_of_several(
    rule: OutputRule, row: list[float], kind: Any
) -> None:
    two = read_output(np.array([row, row], kind), rule)
    for answered in (np.array([row], kind), [np.array(row, kind).astype(float).tolist()]):
        one = read_output(answered, rule)
        assert (one.dropped is None) == (two.dropped is None)
        if one.dropped is None:
            assert [one.label] * 2 == two.classes
            assert two.scores == (None if one.score is None else [one.score] * 2)
            assert (one.probabilities or []) * 2 == two.probabilities
            assert set(map(type, one.probabilities or ())) == {float}


def test_a_large_matrix_leaves_class_and_score_only() -> None:
    fits = read_output(np.full((PROBABILITIES_MAX // 2, 2), 0.5), PROBA)
    assert len(fits.probabilities or ()) == PROBABILITIES_MAX
    larger = read_output(np.full((PROBABILITIES_MAX // 2 + 1, 2), 0.5), PROBA)
    assert (larger.probabilities, larger.rows) == (None, PROBABILITIES_MAX // 2 + 1)
    assert larger.classes == ["0"] * (PROBABILITIES_MAX // 2 + 1)
