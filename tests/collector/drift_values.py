"""Values of features for tests of drift: any, degenerate ones included, and their counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from inferspan_collector.drift.bins import Bins, freeze_categories, freeze_numbers
from inferspan_collector.drift.counts import Counts

Numbers = NDArray[np.float64]
Texts = list[str | None]


@dataclass
class Case:
    """A reference and a window of one feature, and both counted in the reference's bins."""

    reference: Numbers | Texts
    window: Numbers | Texts
    bins: Bins

    def counted(
        self,
        values: Numbers | Texts,
        windows: NDArray[np.int64],
        n: int,
        weight: Numbers | None = None,
    ) -> Counts:
        if isinstance(values, np.ndarray):
            return self.bins.count(values, windows, n, weight)  # type: ignore[call-arg,arg-type]
        texts = sorted({text for text in values if text is not None})
        codes = np.array(
            [-1 if text is None else texts.index(text) for text in values], dtype=np.int32
        )
        return self.bins.count(codes, texts, windows, n, weight)  # type: ignore[call-arg,arg-type]

    def whole(self, values: Numbers | Texts, weight: Numbers | None = None) -> Counts:
        return self.counted(values, np.zeros(len(values), np.int64), 1, weight)


def _array(values: list[float]) -> Numbers:
    return np.array(values, dtype=np.float64)


finite = st.floats(-1e6, 1e6, allow_subnormal=False)
ties = st.integers(-3, 3).map(float)


@st.composite
def drawn(draw: st.DrawFn, least: int = 0) -> Numbers:
    """A few values with ties and gaps, or many of a distribution that is drawn."""
    if draw(st.booleans()):
        kind = draw(st.sampled_from([finite, ties]))
        return _array(draw(st.lists(kind | st.just(float("nan")), min_size=least, max_size=40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(max(least, 1), 2_000))
    values = draw(st.sampled_from([rng.normal, rng.lognormal, rng.uniform]))(size=n)
    values = values * draw(st.floats(0.1, 100)) + draw(st.floats(-10, 10))
    values[rng.random(n) < draw(st.sampled_from([0, 0.1]))] = np.nan
    return values


@st.composite
def numbers(draw: st.DrawFn) -> Case:
    reference = draw(drawn(least=1).filter(lambda values: bool(np.isfinite(values).any())))
    bins = freeze_numbers(reference)
    assert bins is not None
    return Case(reference, draw(drawn()), bins)


@st.composite
def categories(draw: st.DrawFn) -> Case:
    known = st.sampled_from(["a", "b", "c", "Ä", ""])
    texts = st.lists(st.none() | known, min_size=1, max_size=60)
    reference = draw(texts.filter(lambda values: any(text is not None for text in values)))
    bins = freeze_categories(reference)
    assert bins is not None
    # At most one category is new, so that what folds them and what does not say the same.
    present = st.sampled_from([*bins.categories, "zz"])
    return Case(reference, draw(st.lists(st.none() | present, max_size=60)), bins)
