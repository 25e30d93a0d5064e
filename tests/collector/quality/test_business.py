"""A team's own figures: the language, its arithmetic, costs, and measures of packages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_rows import judged
from pydantic import ValidationError
from quality_counts import counts_of

from inferspan_collector.config import Model
from inferspan_collector.quality.business import costs, plugged_in
from inferspan_collector.quality.business.parsing import BadExpression, parsed
from inferspan_collector.quality.business.states import State
from inferspan_collector.quality.figure import Figure, Question

numbers = st.one_of(st.just(math.nan), st.integers(-100, 100).map(float))
texts = st.sampled_from(["fraud", "legit", None])
rows_of = st.lists(st.tuples(texts, texts, numbers, st.floats(0.5, 4)), max_size=25)
MISSED = "sum(amount) where actual = 'fraud' and predicted != 'fraud'"


def columns(rows: list[Any]) -> dict[str, np.ndarray]:
    def objects(place: int) -> np.ndarray:
        column = np.empty(len(rows), np.object_)
        column[:] = [row[place] for row in rows]
        return column

    return {
        "predicted": objects(0),
        "actual": objects(1),
        "feature.amount": np.array([row[2] for row in rows], np.float64),
    }


def state(text: str, rows: list[Any], first: int = 0) -> State:
    made = judged(
        predicted=[row[0] for row in rows],
        actual=[row[1] for row in rows],
        weight=[row[3] for row in rows],
        first=first,
    )
    return State.of(parsed(text), made, columns(rows))


@given(rows=rows_of)
def test_money_lost_to_missed_fraud(rows: list[Any]) -> None:
    figure = state(MISSED, rows).figure()
    lost = [
        (amount, weight)
        for predicted, actual, amount, weight in rows
        if actual == "fraud" and predicted not in ("fraud", None) and not math.isnan(amount)
    ]
    if not lost:
        assert figure.value is None
        assert "no labelled prediction" in (figure.reason or "")
        return
    assert figure.value == pytest.approx(math.fsum(a * w for a, w in lost), rel=1e-12, abs=1e-12)
    assert figure.n == len(lost)


@given(rows=rows_of)
def test_ratios_of_aggregates(rows: list[Any]) -> None:
    text = "(count() where predicted = actual) / count() * 100"
    figure = state(text, rows).figure()
    weight = math.fsum(w for *_, w in rows)
    right = math.fsum(w for p, a, _, w in rows if p == a and p is not None)
    if rows:
        assert figure.value == pytest.approx(100 * right / weight)
        assert figure.low is None or figure.low <= figure.value <= (figure.high or math.inf)
    else:
        assert figure.value is None


@given(rows=rows_of, data=st.data())
def test_parts_in_any_order_make_the_whole(rows: list[Any], data: st.DataObject) -> None:
    text = "mean(abs(amount) + 1) where not actual in ('legit')"
    cut = data.draw(st.integers(0, len(rows)))
    merged = state(text, rows[cut:], first=cut) + state(text, rows[:cut])
    whole = state(text, rows)
    assert merged.figure().value == whole.figure().value
    assert merged.figure().n == whole.figure().n


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sum(amount)", 6.0),
        ("sum(-amount * 2)", -12.0),
        ("sum(amount) where amount >= 2 or predicted = 'fraud'", 6.0),
        ("mean(max(amount, 2))", (2 + 2 + 3) / 3),
        ("sum(amount) where (amount + 1) > 3", 3.0),
        ("sum(amount) where (actual = 'legit')", 5.0),
        ("count() where predicted in ('fraud', 'other')", 1.0),
        ("count() where actual not in ('fraud')", 2.0),
        ("count() where predicted != actual", 0.0),
        ('sum("amount") - 2 * (1 + 1)', 2.0),
        ("sum(feature.amount)", 6.0),
        ("count() where predicted = 'it''s'", 0.0),
    ],
)
def test_the_language(text: str, expected: float) -> None:
    rows = [
        ("fraud", "fraud", 1.0, 1.0),
        ("legit", "legit", 2.0, 1.0),
        ("legit", "legit", 3.0, 1.0),
    ]
    figure = state(text, rows).figure()
    assert figure.value == expected or (expected == 0.0 and figure.value is None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it ends"),
        ("amount", "sum, mean, count"),
        ("1 + 2", "aggregates nothing"),
        ("sum(amount", "it ends"),
        ("sum(predicted)", "is a text"),
        ("sum()", "what to sum"),
        ("count(amount)", "takes nothing"),
        ("sum(amount) where", "it ends"),
        ("sum(amount) where amount", "a comparison"),
        ("sum(amount) where score = 'x'", "is a number"),
        ("sum(amount) having 1", "the end"),
        ("__import__('os')", "is expected"),
        ("sum(amount); 1", "is no part"),
        ("sum(abs(a, b))", "takes 1"),
        ("sum(" + "(" * 100 + "a" + ")" * 101, "deeper"),
        ("sum(a) + " * 400 + "sum(a)", "characters"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(BadExpression, match="(?s).*" + said.replace("(", "\\(")):
        parsed(text)


@given(text=st.text(alphabet="sum count()where'\"=<>+-*/,.123 andortinamoput_", max_size=60))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        expression = parsed(text)
    except BadExpression:
        return
    rows = [("fraud", "legit", 1.0, 1.0)]
    figure = State.of(expression, judged(predicted=["fraud"]), columns(rows)).figure()
    assert (figure.value is None) == (figure.reason is not None)


def test_dividing_by_nothing_is_undefined() -> None:
    rows = [("fraud", "fraud", 0.0, 1.0)]
    assert "divides by 0" in (state("1 / sum(amount)", rows).figure().reason or "")


def test_the_interval_of_a_sum_covers_it() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for first in range(200):
        # A Poisson number of losses, whose expected sum is 200 · 3.
        amounts = random.exponential(3.0, random.poisson(200))
        rows = [("legit", "fraud", float(amount), 1.0) for amount in amounts]
        figure = state(MISSED, rows, first=first * 1000).figure()
        assert figure.low is not None
        assert figure.high is not None
        covered += figure.low <= 600 <= figure.high
    assert 0.9 <= covered / 200 <= 0.99


@given(rows=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab"), st.integers(1, 5)),
                     min_size=1, max_size=20))  # fmt: skip
def test_rows_that_stand_for_others_cost_what_all_of_those_do(
    rows: list[tuple[str, str, int]],
) -> None:
    prices = {"a": {"b": 100.0}, "b": {"a": 7.0, "b": -1.0}}
    weights: dict[tuple[str, str], tuple[float, float]] = {}
    for said, true, weight in rows:
        total, squares = weights.get((said, true), (0.0, 0.0))
        weights[said, true] = (total + weight, squares + weight**2)
    found = costs.figures(counts_of([row[:2] for row in rows]), prices, weights)
    every = counts_of([row[:2] for row in rows for _ in range(row[2])])
    whole = costs.figures(every, prices)
    for name in costs.FIGURES:
        assert found[name].value == pytest.approx(whole[name].value)
        assert found[name].n == len(rows)
    # Rows that weigh alike are as sure as rows that weigh one.
    alike = {pair: (n * 3.0, n * 9.0) for pair, n in every.confusion.items()}
    as_sure, plain = costs.figures(every, prices, alike)["cost_mean"], whole["cost_mean"]
    for name in ("value", "low", "high"):
        exact = getattr(plain, name)
        assert getattr(as_sure, name) == (None if exact is None else pytest.approx(exact)), name


def test_costs_of_cells() -> None:
    rows = [("legit", "fraud")] * 3 + [("fraud", "legit")] * 10 + [("legit", "legit")] * 87
    found = costs.figures(counts_of(rows), {"fraud": {"legit": 120.0}, "legit": {"fraud": 5.0}})
    assert found["cost_total"].value == 3 * 120 + 10 * 5
    assert found["cost_mean"].value == pytest.approx(4.1)
    low, high = found["cost_mean"].low, found["cost_mean"].high
    values = np.array([120.0] * 3 + [5.0] * 10 + [0.0] * 87)
    half = 1.959964 * values.std(ddof=1) / 10
    assert (low, high) == pytest.approx((4.1 - half, 4.1 + half), rel=1e-6)
    assert costs.figures(counts_of([]), {})["cost_total"].value is None


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"figures": {"lost": "sum("}}, "figure lost"),
        ({"figures": {"Lost!": "count()"}}, "no name"),
        ({"figures": {"accuracy": "count()"}}, "choose another"),
        ({"costs": {"fraud": {"legit": math.inf}}}, "no price"),
        ({"measures": ("nowhere",)}, "no installed entry point"),
    ],
)
def test_a_mistake_in_the_configuration_stops_the_start(given_: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Model(**given_)


UPLIFT = """
from inferspan_collector.quality.figure import Figure

class Uplift:
    def __init__(self, total, rows):
        self.total, self.rows = total, rows

    @classmethod
    def of(cls, rows, question):
        return cls(float(rows.score.sum()), len(rows))

    def __add__(self, other):
        return Uplift(self.total + other.total, self.rows + other.rows)

    def figures(self, question):
        return {"uplift": Figure(self.total / self.rows, self.rows)}

class Broken(Uplift):
    def figures(self, question):
        return {"uplift": 1 / 0}

class Odd(Uplift):
    def figures(self, question):
        nan = float("nan")
        return {
            "open": Figure(0.5, 3, nan, float("inf")),
            "endless": Figure(float("inf"), 3),
            "silent": Figure(None, 3),
        }

class Posing(Uplift):
    def figures(self, question):
        return {"accuracy": Figure(1.0, 3)}

class Nothing:
    pass
"""


def test_a_package_brings_a_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brought.py").write_text(UPLIFT)
    info = tmp_path / "brought-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[inferspan_metrics]\nuplift = brought:Uplift\nbroken = brought:Broken\n"
        "nothing = brought:Nothing\nlost = brought:Lost\n"
        "odd = brought:Odd\nposing = brought:Posing\naccuracy = brought:Uplift\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert Model(measures=("uplift",)).measures == ("uplift",)
    parts = [judged(score=[0.5, 0.7]), judged(score=[0.6])]
    question = Question("macro")
    found = plugged_in.figures("uplift", plugged_in.load("uplift"), parts, question)
    assert found["uplift"].value == pytest.approx(0.6)
    assert found["uplift"].n == 3
    broken = plugged_in.figures("broken", plugged_in.load("broken"), parts[:1], question)
    assert "division by zero" in (broken["broken"].reason or "")
    odd = plugged_in.figures("odd", plugged_in.load("odd"), parts[:1], question)
    assert odd["open"] == Figure(0.5, 3)
    assert [odd[name].value for name in ("endless", "silent")] == [None, None]
    assert all(odd[name].reason for name in ("endless", "silent"))
    posing = plugged_in.figures("posing", plugged_in.load("posing"), parts[:1], question)
    assert "'accuracy' is the name of a figure" in (posing.pop("posing").reason or "")
    assert posing == {}
    wrong = (
        ("nothing", "lacks of"),
        ("lost", "cannot be loaded"),
        ("accuracy", "the name of a figure"),
    )
    for name, said in wrong:
        with pytest.raises(plugged_in.UnknownMeasure, match=said):
            plugged_in.load(name)
