"""What every measure holds, whichever it is: new members are found by themselves."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_rows import any_rows, huge, judged

from inferspan.semconv import TASKS
from inferspan_collector.quality.figure import AVERAGES, Figure, Question
from inferspan_collector.quality.judged import Judged
from inferspan_collector.quality.measures import MEASURES, MEMBERS, Measure, measure_of

measure = pytest.mark.parametrize("state", MEASURES.values(), ids=MEASURES.keys())
MACRO = Question(AVERAGES[0])
questions = st.builds(
    Question,
    st.sampled_from(AVERAGES),
    st.sampled_from([None, "a", "b", "elsewhere"]),
    st.sampled_from([None, 0.5]),
)


def same(left: dict[str, Figure], right: dict[str, Figure]) -> None:
    """Values and n to the last bit; ends of intervals to theirs."""
    assert left.keys() == right.keys()
    for name, figure in left.items():
        other = right[name]
        assert (figure.value, figure.n, figure.reason) == (other.value, other.n, other.reason), name
        for mine, theirs in ((figure.low, other.low), (figure.high, other.high)):
            assert (mine is None) == (theirs is None), name
            assert mine is None or theirs is None or math.isclose(mine, theirs, rel_tol=1e-6), name


@measure
@given(rows=any_rows() | any_rows(numbers=huge), question=questions)
def test_a_figure_is_a_number_with_its_n_or_null_with_a_reason(
    state: type[Measure], rows: Judged, question: Question
) -> None:
    for name, figure in state.of(rows, question).figures(question).items():
        if figure.value is None:
            assert figure.reason, name
            assert (figure.low, figure.high) == (None, None), name
            continue
        assert isinstance(figure.value, float), name
        assert math.isfinite(figure.value), name
        assert figure.reason is None, name
        assert 0 < figure.n <= len(rows), name
        if figure.low is not None and figure.high is not None:
            assert figure.low <= figure.value <= figure.high, (name, figure)


@measure
@given(rows=any_rows(), question=questions, data=st.data())
def test_parts_in_any_order_make_the_whole(
    state: type[Measure], rows: Judged, question: Question, data: st.DataObject
) -> None:
    order = np.array(data.draw(st.permutations(range(len(rows)))), np.int64)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    parts = [state.of(rows.take(part), question) for part in np.split(order, cuts)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged + part  # type: ignore[operator]
    whole = state.of(rows, question)
    same(merged.figures(question), whole.figures(question))


@measure
@given(rows=any_rows(), question=questions)
def test_the_empty_state_adds_nothing(
    state: type[Measure], rows: Judged, question: Question
) -> None:
    empty = state.of(rows.take(np.empty(0, np.int64)), question)
    whole = state.of(rows, question)
    same((empty + whole).figures(question), whole.figures(question))  # type: ignore[operator]
    assert {figure.value for figure in empty.figures(question).values()} == {None}


@measure
@given(rows=any_rows(), question=questions)
def test_the_names_do_not_depend_on_rows_or_question(
    state: type[Measure], rows: Judged, question: Question
) -> None:
    named = list(state.of(judged(), Question(AVERAGES[0])).figures(Question(AVERAGES[0])))
    assert list(state.of(rows, question).figures(question)) == named


def test_a_weighted_error_beyond_a_double_leaves_the_other_figures() -> None:
    rows = judged(value=[1e200, 1.0, 2.0], truth=[0.0, 1.0, 4.0], weight=[2.0, 1.0, 1.0])
    found = measure_of("regression").of(rows, MACRO).figures(MACRO)  # type: ignore[union-attr]
    assert found["mean_absolute_error"].value == pytest.approx(5e199)
    # Its variance is beyond a double: no interval, rather than one of no width.
    assert (found["mean_squared_error"].low, found["mean_squared_error"].high) == (None, None)


@pytest.mark.parametrize("name", MEMBERS)
def test_its_docstring_says_what_a_reader_needs(name: str) -> None:
    page = MEMBERS[name].__doc__ or ""
    for said in ("| figure | formula", "range |", "Source", "Guarantee", "ntervals", "Cost"):
        assert said in page, said
    documented = set(re.findall(r"`(\w+)`", page))
    for figure in MEMBERS[name].FIGURES:
        stem = re.sub(r"(root_|_at_\d+|_p\d\d)", "", figure)
        assert (
            figure in documented
            or any(stem in said for said in documented)
            or ("one_class.AVERAGED" in page)
        ), figure


def test_each_task_has_one_measure_at_most() -> None:
    for task in (*TASKS, None):
        members = [name for name, module in MEMBERS.items() if task in module.TASKS]
        assert len(members) <= 1, task
        found = measure_of(task)
        assert found is (MEASURES[members[0]] if members else None)
