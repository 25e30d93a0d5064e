"""Which estimate a model's rows allow, fitted to a reference: CBPE of classes, DLE of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan.semconv import BINARY
from inferspan_collector.estimates.boosted_trees import Float64
from inferspan_collector.estimates.confidence_based import (
    FIGURES,
    NOTHING,
    Binary,
    Estimate,
    Multiclass,
    TopScore,
)
from inferspan_collector.estimates.direct_loss import DirectLoss
from inferspan_collector.store.row_columns import RowColumns

LABELLED_MIN: Final = 200
"""Of fewer labelled reference rows nothing is learnt."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The features that errors are learnt from, in an order that stays."""

    numbers: tuple[str, ...]
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    """Name → the texts that the reference holds, each known by its place."""

    @classmethod
    def of(cls, rows: RowColumns) -> Seen:
        """All features of a reference, the names sorted."""
        texts = {
            name: tuple(sorted({text for text in column if text is not None}))
            for name, column in rows.features.texts.items()
        }
        return cls(tuple(sorted(rows.features.numbers)), tuple(sorted(texts.items())))

    def matrix(self, rows: RowColumns) -> Float64:
        """float64[N, F]; NaN where a row lacks a feature, or says what the reference does not."""
        none = np.full(len(rows), np.nan)
        columns = [rows.features.numbers.get(name, none) for name in self.numbers]
        for name, known in self.texts:
            places = {text: float(place) for place, text in enumerate(known)}
            texts = rows.features.texts.get(name)
            columns.append(
                none if texts is None else np.array([places.get(text, np.nan) for text in texts])
            )
        return np.column_stack(columns) if columns else np.empty((len(rows), 0))


NOTHING_SEEN: Final = Seen((), ())


@dataclass(frozen=True, slots=True, eq=False)
class Foresight:
    """Estimates of a model's figures, or why there are none."""

    reason: str | None
    """None exactly where there are some."""
    method: str | None = None
    """`cbpe` or `dle`."""
    positive: str | None = None
    fitted: Binary | Multiclass | TopScore | DirectLoss | None = None
    labelled: int = 0
    """Reference rows that were learnt from."""
    seen: Seen = NOTHING_SEEN

    def usable(self, rows: RowColumns) -> RowColumns:
        """Those of some rows that say what an estimate needs."""
        rows = rows.take(~rows.failed)
        if isinstance(self.fitted, Binary):
            return rows.take(np.isfinite(rows.score))
        if isinstance(self.fitted, Multiclass):
            same = rows.probabilities.classes == self.fitted.classes
            return rows.take(rows.probabilities.known & same)
        if isinstance(self.fitted, TopScore):
            return rows.take(np.isfinite(rows.score) & (rows.predicted != None))  # noqa: E711
        return rows.take(np.isfinite(rows.value))

    def estimates(self, rows: RowColumns) -> dict[str, Estimate]:
        """The figures to expect of rows, whatever is known of their labels; {} without a fit.

        They rest on the rows that are `usable`.
        """
        rows = self.usable(rows)
        weight = rows.adjusted_count
        if isinstance(self.fitted, Binary):
            return self.fitted.estimates(rows.score, rows.predicted == self.positive, weight)
        if isinstance(self.fitted, Multiclass):
            if rows.probabilities.classes != self.fitted.classes:
                return dict.fromkeys(FIGURES, NOTHING)
            places = rows.probabilities.places(rows.predicted)
            return self.fitted.estimates(rows.probabilities.table, places, weight)
        if isinstance(self.fitted, TopScore):
            return self.fitted.estimates(rows.predicted, rows.score, weight)
        if isinstance(self.fitted, DirectLoss):
            return self.fitted.estimates(self.seen.matrix(rows), rows.value, weight)
        return {}


def foresight(reference: RowColumns, positive: str | None) -> Foresight:
    """Learn from the labelled rows of a reference.

    Args:
        reference: its rows.
        positive: the positive class of a binary task; None where it is not known.
    """
    known = reference.take((reference.correct >= -1) & ~reference.failed)
    numbers = known.take(np.isfinite(known.value) & np.isfinite(known.truth))
    judged = known.take(known.correct >= 0)
    scored = judged.take(np.isfinite(judged.score) & (judged.predicted != None))  # noqa: E711
    if len(numbers) >= LABELLED_MIN and len(numbers) >= len(scored):
        seen = Seen.of(numbers)
        fitted = DirectLoss.fitted(
            seen.matrix(numbers), numbers.value, numbers.truth, numbers.weight
        )
        return Foresight(None, "dle", fitted=fitted, labelled=len(numbers), seen=seen)
    said = judged.take(judged.probabilities.known)
    if len(said) >= LABELLED_MIN and set(said.task) != {BINARY}:
        classes, table = said.probabilities.classes, said.probabilities.table
        places = said.probabilities.places(said.actual)
        many = Multiclass.fitted(classes, table, places, said.weight)
        return Foresight(None, "cbpe", fitted=many, labelled=len(said))
    if len(scored) < LABELLED_MIN:
        return Foresight(_too_few(len(judged), len(scored), len(numbers)))
    if set(scored.task) == {BINARY}:
        if positive is None:
            return Foresight(
                "the positive class is not known; declare inferspan.predict(positive=…) or "
                "models.<name>.positive_class"
            )
        binary = Binary.fitted(scored.score, scored.actual == positive, scored.weight)
        return Foresight(None, "cbpe", positive, binary, len(scored))
    top = TopScore.fitted(scored.predicted, scored.score, scored.correct == 1, scored.weight)
    return Foresight(None, "cbpe", fitted=top, labelled=len(scored))


def _too_few(judged: int, scored: int, numbers: int) -> str:
    if judged >= LABELLED_MIN and scored < LABELLED_MIN:
        return (
            "scores are not recorded, and without them nothing says how sure a prediction is; "
            "return one: {'label': …, 'score': …}"
        )
    return (
        f"the reference has {max(scored, numbers)} labelled rows, and {LABELLED_MIN} are needed; "
        "wait for labels, or name a longer reference: models.<name>.reference"
    )
