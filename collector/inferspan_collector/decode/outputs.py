"""What a prediction span says its model answered → one class, score and value per row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Bool, Float64
from inferspan_collector.decode import probabilities
from inferspan_collector.decode.attributes import (
    CLASSES_LENGTH_MAX,
    Attributes,
    RefusedRecord,
    shown,
)
from inferspan_collector.several_classes import class_set_text, is_ranking, ranking_text


@dataclass(frozen=True, slots=True)
class Outputs:
    """One entry per row: the class (None = none), the score and the number (NaN = none)."""

    predicted: list[str | None]
    score: list[float]
    value: list[float]
    probability_classes: str | None = None
    """The classes whose probabilities are kept, as a JSON array."""
    probabilities: list[bytes] | None = None
    """Of each row, as little-endian doubles; none where a number of them is missing."""


def read_outputs(
    attributes: Attributes,
    rows: int,
    task: str | None,
    positive: str | None,
    operation: str | None = None,
) -> Outputs:
    """Read the outputs of a span of `rows` predictions.

    A single prediction may use the scalar attributes, a batch uses the arrays. Where only
    probabilities came, class and score follow from them; not the sets of a multilabel task, nor
    rankings.

    Raises:
        RefusedRecord: an array whose length disagrees with the number of rows, or a wrong type.
    """
    ranking = is_ranking(task, operation)
    predicted = _predicted(attributes, rows, ranking, several=ranking or task == semconv.MULTILABEL)
    score = _per_row(attributes, semconv.OUTPUT_SCORES, rows, ragged=predicted is not None)
    value = _per_row(attributes, semconv.OUTPUT_VALUES, rows)
    if rows == 1:
        if predicted is None and semconv.OUTPUT_CLASS in attributes:
            predicted = [attributes.class_text(semconv.OUTPUT_CLASS)]
        score = score or [attributes.number(semconv.OUTPUT_SCORE)]
        value = value or [attributes.number(semconv.OUTPUT_VALUE)]
    score = score or [math.nan] * rows
    classes, kept = None, None
    found = _Probabilities.read(attributes, rows)
    if found is None and predicted is None and _says_nothing(score, value):
        _check_classes(attributes)
    if found is not None:
        if predicted is None and not ranking:
            predicted = found.classes_predicted(
                task, positive, attributes.number(semconv.OUTPUT_THRESHOLD)
            )
        if all(math.isnan(entry) for entry in score):
            score = found.scores(task, positive, predicted)
        if probabilities.are_kept(task, len(found.classes)):
            classes, kept = probabilities.classes_text(found.classes), found.matrix
    return Outputs(
        predicted or [None] * rows,
        score,
        value or [math.nan] * rows,
        classes,
        None if kept is None else probabilities.as_bytes(kept),
    )


def disagree(name: str, length: int, rule: str) -> RefusedRecord:
    """The refusal of an array whose length does not fit."""
    return RefusedRecord("length_mismatch", f"{name} has {length} entries; {rule}")


def _predicted(
    attributes: Attributes, rows: int, ranking: bool, several: bool
) -> list[str | None] | None:
    name = semconv.OUTPUT_CLASSES_PREDICTED
    classes = attributes.class_texts(name)
    if classes is None:
        return None
    offsets = attributes.integers(semconv.OUTPUT_OFFSETS)
    if offsets is None and rows == 1 and several:
        offsets = [0, len(classes)]
    if offsets is None:
        if len(classes) != rows:
            raise disagree(name, len(classes), f"the span holds {rows} predictions: send as many")
        return classes
    if len(offsets) != rows + 1:
        raise disagree(
            semconv.OUTPUT_OFFSETS, len(offsets), f"{rows} predictions need {rows + 1} offsets"
        )
    ends = [0, *offsets, len(classes)]
    if offsets[0] != 0 or offsets[-1] != len(classes) or ends != sorted(ends):
        raise RefusedRecord(
            "bad_offsets",
            f"{semconv.OUTPUT_OFFSETS} must rise from 0 to the {len(classes)} entries of {name}",
        )
    as_text = ranking_text if ranking else class_set_text
    return [
        as_text(text for text in classes[start:end] if text is not None)
        for start, end in pairwise(offsets)
    ]


def _per_row(
    attributes: Attributes, name: str, rows: int, *, ragged: bool = False
) -> list[float] | None:
    numbers = attributes.numbers(name)
    if numbers is None or len(numbers) == rows:
        return numbers
    offsets = attributes.integers(semconv.OUTPUT_OFFSETS) if ragged else None
    if offsets and len(numbers) == offsets[-1]:
        # One score per entry of a ragged row: there is none of the row as a whole.
        return [math.nan] * rows
    raise disagree(name, len(numbers), f"the span holds {rows} predictions: send as many")


def _says_nothing(score: list[float], value: list[float] | None) -> bool:
    return all(map(math.isnan, score)) and (value is None or all(map(math.isnan, value)))


def _check_classes(attributes: Attributes) -> None:
    """Refuse probabilities that were the only answer, where nobody can tell of which classes."""
    if semconv.OUTPUT_PROBABILITIES in attributes:
        name = semconv.OUTPUT_CLASSES
        raise RefusedRecord(
            "bad_list",
            f"{name} = {shown(attributes.value(name))} is no whole JSON array of at most "
            f"{CLASSES_LENGTH_MAX} characters, and no class was sent; was it cut by a limit on the "
            "length of attributes?",
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Probabilities:
    classes: list[str]
    matrix: Float64
    """[rows, classes]; a row with a NaN says nothing."""

    @classmethod
    def read(cls, attributes: Attributes, rows: int) -> _Probabilities | None:
        name = semconv.OUTPUT_PROBABILITIES
        if name not in attributes:
            return None
        flat = attributes.numbers(name) or []
        classes = attributes.named_classes(semconv.OUTPUT_CLASSES)
        if classes is None:
            # What was answered may be known all the same, and is worth more than the rest.
            return None
        if len(flat) != rows * len(classes):
            raise disagree(
                name,
                len(flat),
                f"{rows} predictions × {len(classes)} names in {semconv.OUTPUT_CLASSES} need "
                f"{rows * len(classes)}",
            )
        names = [text for text in classes if text is not None]
        if len(set(names)) != len(classes):
            raise RefusedRecord(
                "bad_classes", f"{semconv.OUTPUT_CLASSES} names a class twice or leaves one out"
            )
        return cls(names, np.array(flat, np.float64).reshape(rows, len(names)))

    def classes_predicted(
        self, task: str | None, positive: str | None, threshold: float
    ) -> list[str | None] | None:
        # One column cannot say what the other answer would have been, and the set of a multilabel
        # row needs a threshold for each class.
        if len(self.classes) < 2 or task == semconv.MULTILABEL:
            return None
        complete: Bool = np.asarray(np.isfinite(self.matrix).all(axis=1))
        best = np.argmax(np.where(complete[:, None], self.matrix, 0.0), axis=1)
        if (
            task == semconv.BINARY
            and len(self.classes) == 2
            and positive in self.classes
            and not math.isnan(threshold)
        ):
            column = self.classes.index(positive)
            best = np.where(self.matrix[:, column] >= threshold, column, 1 - column)
        return [
            self.classes[choice] if known else None
            for choice, known in zip(best.tolist(), complete.tolist(), strict=True)
        ]

    def scores(
        self, task: str | None, positive: str | None, predicted: list[str | None] | None
    ) -> list[float]:
        rows = len(self.matrix)
        if task == semconv.BINARY:
            # Of two classes without a declared positive one, neither's probability is the score.
            if positive not in self.classes:
                return [math.nan] * rows
            return [float(p) for p in self.matrix[:, self.classes.index(positive)]]
        columns = {text: column for column, text in enumerate(self.classes)}
        chosen = [columns.get(text or "", -1) for text in predicted or [None] * rows]
        return [
            float(self.matrix[row, column]) if column >= 0 else math.nan
            for row, column in enumerate(chosen)
        ]
