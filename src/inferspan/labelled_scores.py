"""Scores of labels, as pipelines of `transformers` answer them, and logits, as its models do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from inferspan import semconv
from inferspan.arguments import Arguments, Keywords, first_given
from inferspan.output_columns import SUM_ROUNDING, Misfit, array_of

_EVEN: Final = 0.5
"""Above it a label holds, where several may: nothing in a model's configuration says another."""
_SOFTMAX: Final = "softmax"
_PROBLEMS: Final = {
    "regression": semconv.REGRESSION,
    "multi_label_classification": semconv.MULTILABEL,
}

Row = Sequence[Mapping[str, Any]]
"""What a pipeline answers of one input: a `label` and a `score` each."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a configuration says of the labels of its model."""

    task: str | None = None
    classes: tuple[str, ...] = ()
    """In the order of the logits; none where the one score is a number."""
    applied: str | None = None
    """What makes scores of logits, where that was chosen: `softmax`, `sigmoid` or `none`."""

    @classmethod
    def of(cls, config: Any, applied: object) -> Self:
        """Read a model's configuration.

        Args:
            config: of `transformers`.
            applied: what was chosen to make scores of logits, a text or the library's own; None =
                what the problem asks for.
        """
        names = [name for _, name in sorted(dict(config.id2label).items())]
        task = _PROBLEMS.get(str(getattr(config, "problem_type", None)))
        if task is None and len(names) > 1:
            task = semconv.BINARY if len(names) == 2 else semconv.MULTICLASS
        classes = () if task == semconv.REGRESSION or len(names) < 2 else tuple(map(str, names))
        return cls(task, classes, function_name(applied))

    @property
    def several(self) -> bool:
        """Whether several labels may hold at once."""
        return self.task == semconv.MULTILABEL


def function_name(chosen: object) -> str | None:
    """What `function_to_apply` names, `softmax`; None where nothing was chosen."""
    return None if chosen is None else str(getattr(chosen, "value", chosen)).lower()


def scored_answer(labels: Labels, arguments: Arguments, keywords: Keywords, answer: Any) -> object:
    """What a pipeline answered that classifies: of one input, or of a list.

    Raises:
        Misfit: several labels may hold, and not all scores were asked for.
    """
    given = first_given(arguments, keywords)
    applied = function_name(keywords.get("function_to_apply")) or labels.applied
    if not isinstance(given, list):
        return _read(labels, applied, [_row(answer)])[0]
    rows = _read(labels, applied, [_row(one) for one in answer])
    if rows and all(isinstance(row, dict) for row in rows):
        return {"probabilities": np.array([list(row["probabilities"].values()) for row in rows])}
    return rows


def candidate_answer(arguments: Arguments, keywords: Keywords, answer: Any) -> object:
    """What a pipeline answered that knows its classes from the call: of one input, or of a list.

    Raises:
        Misfit: each class was judged by itself, which says of none whether it holds.
    """
    if keywords.get("multi_label"):
        raise Misfit("multi_label=True gives scores, and no class; map it by a decorated function")
    given = first_given(arguments, keywords)
    several = isinstance(given, list) and isinstance(answer, list)
    found = [_best(one) for one in (answer if several else [answer])]
    return found if several else found[0]


def logits_answer(labels: Labels, arguments: Arguments, keywords: Keywords, answer: Any) -> object:
    """What a model answered that classifies: logits, for each row.

    Raises:
        Misfit: they are not one for each label, or lie on a device.
    """
    parts = answer if isinstance(answer, tuple) else (answer["logits"],)
    # With labels given, a loss stands before the logits.
    logits = next((part for part in parts if len(getattr(part, "shape", ())) == 2), None)
    if logits is None or logits.shape[1] != max(1, len(labels.classes)):
        raise Misfit(f"no logits of {max(1, len(labels.classes))} labels; map it by output=")
    found = array_of(logits).astype(np.float64)
    if not labels.classes:
        return found[:, 0]
    if labels.several:
        rows = [dict(zip(labels.classes, row, strict=True)) for row in 1 / (1 + np.exp(-found))]
        sets = [_holding(row) for row in rows]
        return sets if len(sets) > 1 else sets[0]
    powers = np.exp(found - found.max(axis=1, keepdims=True))
    return {"probabilities": powers / powers.sum(axis=1, keepdims=True)}


def _row(answer: Any) -> Row:
    return answer if isinstance(answer, list) else [answer]


def _read(labels: Labels, applied: str | None, rows: list[Row]) -> list[Any]:
    """Each row as `read_output` takes one; all of them alike."""
    scores = [{str(one["label"]): float(one["score"]) for one in row} for row in rows]
    if not labels.classes:
        return [next(iter(row.values())) for row in scores]
    if labels.several:
        if any(len(row) < len(labels.classes) for row in scores):
            raise Misfit("several labels may hold, and only some have scores; ask with top_k=None")
        return [_holding(row) for row in scores]
    if applied not in (None, _SOFTMAX):
        # Such scores are no probabilities of one class among all.
        return [max(row, key=row.__getitem__) for row in scores]
    if len(labels.classes) == 2:
        scores = [_with_other(labels.classes, row) for row in scores]
    if all(len(row) == len(labels.classes) for row in scores):
        return [{"probabilities": {name: row[name] for name in labels.classes}} for row in scores]
    return [max(row.items(), key=lambda item: item[1]) for row in scores]


def _with_other(classes: tuple[str, ...], row: dict[str, float]) -> dict[str, float]:
    """Of two classes the one's probability says the other's."""
    if len(row) != 1:
        return row
    ((name, score),) = row.items()
    return {one: score if one == name else 1.0 - score for one in classes}


def _holding(row: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(name, float(score)) for name, score in row.items() if score > _EVEN]


def _best(one: Any) -> object:
    """The classes of one input with their probabilities; the likeliest is the answer."""
    pairs = (
        zip(one["labels"], one["scores"], strict=True)
        if isinstance(one, Mapping)
        else ((each["label"], each["score"]) for each in one)
    )
    # In one order, whatever the scores: a list of classes is written once for all calls.
    found = dict(sorted((str(name), float(score)) for name, score in pairs))
    if abs(sum(found.values()) - 1.0) > SUM_ROUNDING:
        return max(found, key=found.__getitem__)  # each was judged by itself
    return {"probabilities": found}
