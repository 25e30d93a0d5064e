"""What every family of figures holds, whichever it is: new members are found by themselves."""

from __future__ import annotations

import importlib
import math
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quality_counts import any_counts, questions

from inferspan_collector import quality
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.quality.figure import AVERAGES, Family, Figure, Question

MEMBERS: dict[str, Family] = {
    info.name: module
    for info in pkgutil.iter_modules(quality.__path__)
    if hasattr(module := importlib.import_module(f"{quality.__name__}.{info.name}"), "figures")
}
CORRELATIONS = ("matthews_corrcoef", "cohen_kappa")
family = pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS.keys())


def test_every_member_is_registered_under_its_name() -> None:
    assert dict(quality.FAMILIES) == MEMBERS


def test_no_two_families_give_the_same_figure() -> None:
    names = [
        name
        for member in MEMBERS.values()
        for name in member.figures(Counts(), Question(AVERAGES[0]))
    ]
    assert len(names) == len(set(names))


@family
@given(counts=any_counts(), question=questions())
def test_a_figure_is_a_number_with_its_n_or_null_with_a_reason(
    member: Family, counts: Counts, question: Question
) -> None:
    for name, figure in member.figures(counts, question).items():
        assert figure.n >= 0, name
        if figure.value is None:
            assert figure.reason, name
            assert figure.low is None, name
            assert figure.high is None, name
        else:
            assert math.isfinite(figure.value), name
            assert figure.reason is None, name
            assert 0 < figure.n <= counts.predictions, name
            assert (figure.low is None) == (figure.high is None), name


@family
@given(counts=any_counts(), question=questions())
def test_the_interval_holds_the_value(member: Family, counts: Counts, question: Question) -> None:
    for name, figure in member.figures(counts, question).items():
        if figure.value is not None and figure.low is not None and figure.high is not None:
            least = -1 if name in CORRELATIONS else 0
            assert least <= figure.low <= figure.value <= figure.high <= 1, name
            assert figure.low < figure.high, name


@family
@given(counts=any_counts(), question=questions())
def test_the_names_do_not_depend_on_counts_or_question(
    member: Family, counts: Counts, question: Question
) -> None:
    empty = member.figures(Counts(), Question(AVERAGES[0]))
    assert list(member.figures(counts, question)) == list(empty)


@family
def test_of_nothing_every_figure_is_null(member: Family) -> None:
    for average in AVERAGES:
        for figure in member.figures(Counts(), Question(average, "a")).values():
            assert figure == Figure.missing("no predictions in this window and group")


@family
@given(parts=st.lists(any_counts(), min_size=2, max_size=4), question=questions(), data=st.data())
def test_merged_counts_give_the_same_figures_in_any_order(
    member: Family, parts: list[Counts], question: Question, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(parts))
    assert member.figures(merged(parts), question) == member.figures(merged(shuffled), question)
