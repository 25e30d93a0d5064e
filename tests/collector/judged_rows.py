"""Labelled rows for tests of measures: any rows, odd ones included, as hypothesis makes them."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import strategies as st

from inferspan_collector.batches import Strings
from inferspan_collector.quality.judged import Judged

CLASSES = ("a", "b", "c", "d")
# What a model answers: tied, at the ends, of two decimals, anything.
scores = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 100).map(lambda k: k / 100),
    st.floats(0, 1),
)
numbers = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0]),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.integers(-50, 50).map(float),
)
# Numbers whose squares, or they times a weight, are beyond a double.
huge = st.sampled_from([1e200, -1e200, 1.7e308, -1.7e308, 0.0, 1.0])
sets = st.frozensets(st.sampled_from(CLASSES)).map(lambda s: json.dumps(sorted(s)))
rankings = st.permutations(CLASSES).flatmap(
    lambda items: st.integers(0, 4).map(lambda k: json.dumps(list(items[:k])))
)
texts = st.one_of(st.none(), st.sampled_from(CLASSES), st.just("pass"), st.just("fail"))


def judged(
    *,
    predicted: list[str | None] | None = None,
    actual: list[str | None] | None = None,
    score: list[float] | None = None,
    value: list[float] | None = None,
    truth: list[float] | None = None,
    weight: list[float] | None = None,
    probabilities: list[list[float]] | None = None,
    classes: tuple[str, ...] = (),
    first: int = 0,
) -> Judged:
    """Rows of these columns; what is not given is absent, weights are 1."""
    given = (predicted, actual, score, value, truth)
    n = max((len(column) for column in given if column is not None), default=0)
    nothing = [math.nan] * n
    rows = np.arange(first, first + n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return Judged(
        identity=rows,
        predicted=Strings.of(predicted or [None] * n),
        actual=Strings.of(actual or [None] * n),
        score=np.array(score or nothing, np.float64),
        value=np.array(value or nothing, np.float64),
        truth=np.array(truth or nothing, np.float64),
        weight=np.array(weight or [1.0] * n, np.float64),
        classes=classes,
        probabilities=np.array(probabilities, np.float64).reshape(n, len(classes))
        if probabilities is not None
        else np.empty((n, 0)),
    )


@st.composite
def any_rows(
    draw: st.DrawFn, min_size: int = 0, numbers: st.SearchStrategy[float] = numbers
) -> Judged:
    """Rows as a store may hold them: every column filled, partly or not at all."""
    n = draw(st.integers(min_size, 25))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=n, max_size=n))

    maybe = st.one_of(st.just(math.nan), scores)
    shape = draw(st.sampled_from(["classes", "sets", "rankings"]))
    said = {"classes": texts, "sets": sets, "rankings": rankings}[shape]
    raw = np.array(column(st.lists(scores, min_size=3, max_size=3)), np.float64).reshape(n, 3)
    total = raw.sum(axis=1, keepdims=True)
    probabilities = np.divide(raw, total, out=np.full_like(raw, np.nan), where=total > 0)
    return judged(
        predicted=column(said),  # type: ignore[arg-type]
        actual=column(texts if shape == "classes" else sets),  # type: ignore[arg-type]
        score=column(st.one_of(maybe, st.floats(-3, 3))),  # type: ignore[arg-type]
        value=column(st.one_of(st.just(math.nan), numbers)),  # type: ignore[arg-type]
        truth=column(st.one_of(st.just(math.nan), numbers)),  # type: ignore[arg-type]
        weight=column(st.one_of(st.just(1.0), st.floats(0.01, 50))),  # type: ignore[arg-type]
        probabilities=probabilities.tolist(),
        classes=("a", "b", "c"),
    )
