"""Answers that are several classes, as the one text that both sides of the join compare.

A set is the JSON array of its sorted classes; a ranking that of its items, the best one first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Bool, Strings

RANK: Final = "rank"


def is_ranking(task: str | None, operation: str | None) -> bool:
    """Whether what a model answers is a ranking: by its task, else by what it did."""
    return task == semconv.RANKING or operation == RANK


def rankings(task: Strings, operation: Strings) -> Bool:
    """Which predictions are rankings, by their columns: bool[N]."""
    by_task = np.array([is_ranking(text, None) for text in (*task.values, None)])
    by_operation = np.array([is_ranking(None, text) for text in (*operation.values, None)])
    found: Bool = by_task[task.codes] | by_operation[operation.codes]
    return found


def class_set_text(classes: Iterable[str]) -> str:
    """A set of classes as text: sorted, each once."""
    return _text(sorted(set(classes)))


def ranking_text(items: Iterable[str]) -> str:
    """A ranking as text: in its order, each item once, where it stands first."""
    return _text(list(dict.fromkeys(items)))


def _text(classes: list[str]) -> str:
    return json.dumps(classes, ensure_ascii=False, separators=(",", ":"))
