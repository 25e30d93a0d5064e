"""The join as the vocabulary states it, over plain records: slow, obvious, and the oracle."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from records import MINUTE_NS, Label, Prediction, label_batch

from inferspan_collector.store.staging import content_hashes

Cell = tuple[int, str | None, str | None, int]


def current_predictions(predictions: Iterable[Prediction]) -> list[Prediction]:
    """One prediction per key: not the client's span if there is another, then the later event."""
    by_key: dict[Key, list[Prediction]] = {}
    for p in predictions:
        by_key.setdefault(key_of(p), []).append(p)
    return [
        max(rows, key=lambda p: (p.kind != 3, p.event_time, p.trace, p.span, p.span_row))
        for rows in by_key.values()
    ]


Key = tuple[object, ...]


def key_of(p: Prediction) -> Key:
    """What makes two spans the same prediction."""
    return (p.environment, p.model, p.version, p.variant, p.prediction_id, p.index)


DAY_NS = 1440 * MINUTE_NS
WINDOW_NS = 90 * DAY_NS


def in_time(label: Label, prediction: Prediction, windows: Mapping[str, int]) -> bool:
    """Whether the two were received within the label window of the target."""
    apart = abs(label.received - prediction.received)
    return apart <= windows.get(label.target, WINDOW_NS)


HORIZON_NS = 2 * MINUTE_NS
"""Of labels by entity, in the tests that have such."""


def by_other_name(label: Label) -> bool:
    """Whether a label names its prediction neither by id and model nor by a link."""
    by_id = label.prediction_id is not None and label.model is not None
    named = label.entity_id is not None or label.response_id is not None
    return named and not by_id and label.link_span == 0


def is_about(label: Label, prediction: Prediction) -> bool:
    """Whether the label names this row of a span."""
    if by_other_name(label):
        if label.model not in (None, prediction.model):
            return False
        narrowed = label.environment in (None, prediction.environment) and label.version in (
            None,
            prediction.version,
        )
        if label.response_id is not None:
            return narrowed and label.response_id == prediction.response_id
        near = 0 <= label.time - prediction.event_time <= HORIZON_NS
        return narrowed and label.entity_id == prediction.entity_id and near
    if label.prediction_id is not None and label.model is not None:
        return (
            (label.model, label.prediction_id, label.index)
            == (prediction.model, prediction.prediction_id, prediction.index)
            and label.environment in (None, prediction.environment)
            and label.version in (None, prediction.version)
        )
    link = (label.link_trace, label.link_span, label.index)
    row = (prediction.trace, prediction.span, prediction.span_row)
    return label.link_span != 0 and link == row


def rows_meant(
    label: Label, prediction: Prediction, same_key: list[Prediction]
) -> list[Prediction]:
    """The rows that a label would name to be about this prediction, which counts under its key.

    A link and the names of entities and responses are of a span: whichever counts is meant.
    """
    by_id = label.prediction_id is not None and label.model is not None
    return [prediction] if by_id else same_key


def outcome_cells(
    records: Iterable[Prediction | Label],
    target: str,
    ranks: Mapping[str | None, int],
    tolerance: float | None,
    windows: Mapping[str, int] = MappingProxyType({}),
    silence: Callable[[Prediction], str | None] = lambda _: None,
) -> Counter[Cell]:
    """Outcomes per (minute, predicted, actual, correct), whatever the order of the records."""
    rows = list(records)
    labels = [r for r in rows if isinstance(r, Label)]
    predictions = [r for r in rows if isinstance(r, Prediction)]
    spans: dict[Key, list[Prediction]] = {}
    for p in predictions:
        spans.setdefault(key_of(p), []).append(p)
    cells: Counter[Cell] = Counter()
    for p in current_predictions(predictions):
        about = [
            x
            for x in labels
            if x.target == target and in_time(x, p, windows)
            if any(
                is_about(x, row) and in_time(x, row, windows)
                for row in rows_meant(x, p, spans[key_of(p)])
            )
        ]
        if p.error_type is not None:
            continue
        if not about:
            # What silence means by now, if it means anything: nobody's record, so it loses to all.
            meant = silence(p)
            if meant is not None:
                cells[_cell(p, Label(actual=meant), tolerance)] += 1
            continue
        winner = max(
            about,
            key=lambda label: (
                ranks.get(label.source, -1),
                label.revision,
                label.time,
                label.label_id,
                label.deleted,
                int(content_hashes(label_batch([label]))[0]),
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
