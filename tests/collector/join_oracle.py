"""The join as the vocabulary states it, over plain records: slow, obvious, and the oracle."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from records import MINUTE_NS, Label, Prediction

Cell = tuple[int, str | None, str | None, int]


def current_predictions(predictions: Iterable[Prediction]) -> list[Prediction]:
    """One prediction per key: not the client's span if there is another, then the later event."""
    by_key: dict[tuple[object, ...], list[Prediction]] = {}
    for p in predictions:
        key = (p.environment, p.model, p.version, p.variant, p.prediction_id, p.index)
        by_key.setdefault(key, []).append(p)
    return [
        max(rows, key=lambda p: (p.kind != 3, p.event_time, p.trace, p.span))
        for rows in by_key.values()
    ]


def is_about(label: Label, prediction: Prediction) -> bool:
    """Whether the label names this prediction."""
    if label.prediction_id is not None and label.model is not None:
        return (
            (label.model, label.prediction_id, label.index)
            == (prediction.model, prediction.prediction_id, prediction.index)
            and label.environment in (None, prediction.environment)
            and label.version in (None, prediction.version)
        )
    return (
        label.link_span != 0
        and (label.link_trace, label.link_span) == (prediction.trace, prediction.span)
        and label.index == prediction.index
    )


def outcome_cells(
    records: Iterable[Prediction | Label],
    target: str,
    ranks: Mapping[str | None, int],
    tolerance: float | None,
) -> Counter[Cell]:
    """Outcomes per (minute, predicted, actual, correct), whatever the order of the records."""
    rows = list(records)
    labels = list({(r.label_id, r.revision): r for r in rows if isinstance(r, Label)}.values())
    cells: Counter[Cell] = Counter()
    for p in current_predictions(r for r in rows if isinstance(r, Prediction)):
        about = [label for label in labels if label.target == target and is_about(label, p)]
        if not about or p.error_type is not None:
            continue
        winner = max(
            about,
            key=lambda label: (
                ranks.get(label.source, -1),
                label.revision,
                label.time,
                label.label_id,
            ),
        )
        if not winner.deleted:
            cells[_cell(p, winner, tolerance)] += 1
    return cells


def _cell(p: Prediction, label: Label, tolerance: float | None) -> Cell:
    minute = p.event_time // MINUTE_NS
    if p.predicted is not None and p.task != "regression":
        correct = -1 if label.actual is None else int(p.predicted == label.actual)
        return (minute, p.predicted, label.actual, correct)
    if tolerance is None or math.isnan(p.value) or math.isnan(label.value):
        return (minute, None, None, -1)
    return (minute, None, None, int(abs(p.value - label.value) <= tolerance))
