"""Figures of rankings equal scikit-learn's: from sets of relevant items, and from single items."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_rows import judged
from sklearn import metrics

from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.measures import rankings

EXACT = {"rel": 1e-9, "abs": 1e-9}
MACRO = Question("macro")


def value(figure: Figure) -> float:
    assert figure.value is not None, figure.reason
    return figure.value


ranked = st.permutations(range(8)).flatmap(
    lambda items: st.integers(1, 8).map(lambda k: list(items[:k]))
)


@given(
    rows=st.lists(
        st.tuples(ranked, st.frozensets(st.integers(0, 7), min_size=1)), min_size=1, max_size=10
    )
)
def test_rankings(rows: list[tuple[list[int], frozenset[int]]]) -> None:
    predicted = [json.dumps([f"i{item}" for item in items]) for items, _ in rows]
    actual = [json.dumps([f"i{item}" for item in wanted]) for _, wanted in rows]
    state = rankings.State.of(judged(predicted=predicted, actual=actual), MACRO)  # type: ignore[arg-type]
    found = state.figures(MACRO)
    gains, precisions, firsts = [], [], []
    for items, wanted in rows:
        true = np.array([[item in wanted for item in range(8)]], int)
        # Items that were not ranked stand behind all others, and gain nothing there.
        score = np.array([[8 - items.index(i) if i in items else 0 for i in range(8)]], float)
        hidden = np.where(score > 0, true, 0)
        best = metrics.dcg_score(true, true.astype(float), k=5)
        gains.append(metrics.dcg_score(hidden, score, k=5, ignore_ties=True) / best)
        places = [place for place, item in enumerate(items, 1) if item in wanted]
        precisions.append(sum(h / p for h, p in zip(range(1, 9), places, strict=False)) /
                          len(wanted))  # fmt: skip
        firsts.append(places[0] if places else np.inf)
        if len(places) == len(wanted) and len(items) == 8:
            oracle = metrics.label_ranking_average_precision_score(true, score)
            assert precisions[-1] == pytest.approx(oracle)
    assert value(found["ndcg_at_5"]) == pytest.approx(np.mean(gains), **EXACT)
    assert value(found["mean_average_precision"]) == pytest.approx(np.mean(precisions), **EXACT)
    assert value(found["mean_reciprocal_rank"]) == pytest.approx(
        np.mean(1 / np.array(firsts)), **EXACT
    )
    assert value(found["hit_rate_at_5"]) == np.mean(np.array(firsts) <= 5)


items = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=14)


@given(
    rows=st.lists(
        st.tuples(items, st.lists(st.integers(1, 3), max_size=2), st.sampled_from([1.0, 4.0, 0.5])),
        min_size=1,
        max_size=8,
    )
)
def test_rankings_whose_items_have_labels_of_their_own(
    rows: list[tuple[list[tuple[int, bool]], list[int], float]],
) -> None:
    # Of each item in its place how relevant it was, and whether that was labelled; how relevant
    # those were that the ranking lacks; for how many calls it stands.
    state = rankings.State.of_items(
        [
            (
                [place for place, (_, known) in enumerate(row, 1) if known] + [0] * len(lacking),
                [float(gain) for gain, known in row if known] + [float(gain) for gain in lacking],
                weight,
            )
            for row, lacking, weight in rows
        ]
    )
    expected: list[list[float]] = []
    weights = []
    for row, lacking, weight in rows:
        gains = [gain if known else 0 for gain, known in row]
        if not any(gains) and not lacking:
            continue
        weights.append(weight)
        # What was not ranked stands behind all others, and gains nothing there.
        true, hidden = np.array([gains + lacking], float), np.array([gains + [0] * len(lacking)])
        score = np.arange(true.shape[1], 0, -1, dtype=float)[None, :]
        places = [place for place, gain in enumerate(gains, 1) if gain]
        hits = [h / p for h, p in enumerate(places, 1)]
        first = places[0] if places else np.inf
        expected.append(
            [
                *(
                    metrics.dcg_score(hidden, score, k=k, ignore_ties=True)
                    / metrics.dcg_score(true, true, k=k)
                    for k in (5, 10)
                ),
                1 / first,
                sum(hits) / (len(places) + len(lacking)),
                *(float(first <= k) for k in (1, 5, 10)),
            ]
        )
    found = state.figures(MACRO)
    if not expected:
        assert all(found[name].value is None for name in rankings.FIGURES)
        return
    for name, oracle in zip(
        rankings.FIGURES, np.average(expected, axis=0, weights=weights), strict=True
    ):
        assert value(found[name]) == pytest.approx(oracle, **EXACT), name
