"""Rankings: the predicted list of items, best first, against the set of items that were relevant.

| figure | formula, of one ranking; the figure is the mean over rankings | range |
|---|---|---|
| `ndcg_at_5`, `ndcg_at_10` | Σ relevance ÷ log₂(i + 1), i ≤ k, ÷ the best possible | 0…1 |
| `mean_reciprocal_rank` | 1 ÷ place of the first relevant item, 0 without one | 0…1 |
| `mean_average_precision` | mean over the relevant items of precision at their place | 0…1 |
| `hit_rate_at_1`, `…_5`, `…_10` | 1 if one of the first k is relevant | 0…1 |

Source: scikit-learn's `ndcg_score` (gains as labelled, 1 for a set; no ties); Manning, Raghavan,
Schütze: "Introduction to Information Retrieval", 8.4. A relevant item that was not ranked counts as
missed (precision 0); a ranking of which nothing was relevant says nothing and is left out. Unit:
none. Guarantee: exact. Intervals: those of a mean; of the hit rates Wilson's. Cost: O(items) a row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Strings
from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.intervals import wilson_share
from inferspan_collector.quality.judged import Judged
from inferspan_collector.quality.means import NO_ROWS, Mean

TASKS: Final = frozenset([semconv.RANKING])
FIGURES: Final = (
    "ndcg_at_5",
    "ndcg_at_10",
    "mean_reciprocal_rank",
    "mean_average_precision",
    "hit_rate_at_1",
    "hit_rate_at_5",
    "hit_rate_at_10",
)


@dataclass(frozen=True, slots=True)
class State:
    """A mean per figure, in the order of `FIGURES`."""

    means: tuple[Mean, ...] = (Mean(),) * len(FIGURES)

    @classmethod
    def of(cls, rows: Judged, question: Question) -> State:
        """Of rows whose `predicted` and `actual` are JSON arrays of items."""
        ranked, relevant = _lists(rows.predicted), _lists(rows.actual)
        kept, found = [], []
        pairs = zip(rows.predicted.codes.tolist(), rows.actual.codes.tolist(), strict=True)
        for row, (said, true) in enumerate(pairs):
            items, wanted = ranked[said], relevant[true]
            if items is not None and wanted:
                kept.append(row)
                found.append(_of_one(items, frozenset(wanted)))
        columns = np.array(found, np.float64).reshape(-1, len(FIGURES))
        weight = rows.weight[np.array(kept, np.int64)]
        return cls(tuple(Mean.of(column, weight) for column in columns.T))

    @classmethod
    def of_items(cls, rankings: Iterable[tuple[Sequence[int], Sequence[float], float]]) -> State:
        """Of rankings whose items were labelled one by one.

        Args:
            rankings: of each its labelled items: their places from 1, 0 = it lacks the item, and
                how relevant each was; and its weight, greater than 0. Items
                without a label count as not relevant.
        """
        known = [each for each in rankings if any(gain > 0 for gain in each[1])]
        found = [_of_places(places, relevance) for places, relevance, _ in known]
        weights = np.array([weight for _, _, weight in known], np.float64)
        columns = np.array(found, np.float64).reshape(-1, len(FIGURES))
        return cls(tuple(Mean.of(column, weights) for column in columns.T))

    def __add__(self, other: State) -> State:
        return State(tuple(a + b for a, b in zip(self.means, other.means, strict=True)))

    def figures(self, question: Question) -> dict[str, Figure]:
        """Those of `FIGURES`."""
        return {
            name: _rate(mean) if name.startswith("hit_rate") else mean.figure(0.0, 1.0)
            for name, mean in zip(FIGURES, self.means, strict=True)
        }


def _rate(mean: Mean) -> Figure:
    if mean.weights.rows == 0:
        return Figure.missing(NO_ROWS)
    value = mean.value()
    return Figure(value, mean.weights.rows, *wilson_share(value, mean.weights.effective()))


def _lists(column: Strings) -> list[Sequence[str] | None]:
    """What each text of a column lists; the last is of what is absent."""
    return [*(_list(text) for text in column.values), None]


def _list(text: str) -> Sequence[str] | None:
    try:
        items = json.loads(text)
    except ValueError:
        return None
    if not isinstance(items, list):
        # One item alone, as a label of one class says it.
        return [text]
    return [item if isinstance(item, str) else json.dumps(item) for item in items]


def _of_one(items: Sequence[str], relevant: frozenset[str]) -> tuple[float, ...]:
    """The figures of one ranking, and the set of what was relevant."""
    place_of = {item: place for place, item in reversed(list(enumerate(items, 1)))}
    return _of_places([place_of.get(item, 0) for item in sorted(relevant)], [1.0] * len(relevant))


def _of_places(places: Sequence[int], relevance: Sequence[float]) -> tuple[float, ...]:
    """The figures of one ranking, from the places and the relevance of its labelled items."""
    gains = dict(zip(places, relevance, strict=True))
    shown = sorted(place for place, gain in gains.items() if place > 0 and gain > 0)
    relevant = sum(gain > 0 for gain in relevance)
    precisions = [hits / place for hits, place in enumerate(shown, 1)]
    first = shown[0] if shown else math.inf
    return (
        _gain(gains, relevance, 5),
        _gain(gains, relevance, 10),
        1 / first,
        math.fsum(precisions) / relevant,
        *(float(first <= k) for k in (1, 5, 10)),
    )


def _gain(gains: Mapping[int, float], relevance: Sequence[float], k: int) -> float:
    best = sorted(relevance, reverse=True)[:k]
    above = math.fsum(g / math.log2(p + 1) for p, g in gains.items() if 1 <= p <= k)
    return above / math.fsum(g / math.log2(p + 1) for p, g in enumerate(best, 1))
