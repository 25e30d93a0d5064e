"""Outputs by row, and the plain values they are made of: what every shape of answer becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from inferspan import semconv
from inferspan.attributes import type_name

ROWS_MAX: Final = 65_536
"""Rows of one batch call whose outputs are recorded."""
CLASS_LENGTH_MAX: Final = 1024
"""Characters of a class; a longer text is an answer, and none of several classes."""
RANKING: Final = "ranking"
CLASS_TASKS: Final = (semconv.BINARY, semconv.MULTICLASS, semconv.MULTILABEL)
ROUNDING: Final = 1e-6
"""How far a probability in float32 may lie above 1."""
MAPPER: Final = "or map it: @inferspan.predict(output=lambda returned: {'label': …})"
"""The remedy that always works."""
_UNTYPED_TASKS: Final = ("embedding", "detection", "generation")
_UNTYPED_OPERATIONS: Final = ("embed", "transform", "detect", "generate")


@dataclass(frozen=True, slots=True)
class OutputRule:
    """What a model declares about its outputs."""

    task: str | None = None
    operation: str = "predict"
    positive: str | None = None
    """The positive class of a binary task, as `semconv.class_text` writes it."""
    classes: tuple[str, ...] = ()
    """The classes that columns of probabilities stand for, as `class_text` writes them."""
    threshold: float | None = None
    """The score from which the positive class is answered."""
    floats_are_classes: bool = False
    """Whether a float is a class, as with scikit-learn's `predict` and float labels."""

    @property
    def untyped(self) -> bool:
        """Whether there is neither class, score nor value to expect."""
        if self.task is None:
            return self.operation in _UNTYPED_OPERATIONS
        return self.task in _UNTYPED_TASKS

    @property
    def numeric(self) -> bool:
        """Whether the output is a number by declaration."""
        return self.task in semconv.NUMERIC_TASKS

    @property
    def ragged(self) -> bool:
        """Whether one prediction has several classes: a set, or a ranking."""
        return self.task in (semconv.MULTILABEL, RANKING) or self.operation == "rank"


class Misfit(ValueError):
    """What was returned does not fit what was declared; says what, and what to do."""


@dataclass(slots=True)
class Columns:
    """Outputs by row; a single prediction is one row with `single` set."""

    single: bool
    classes: list[str] | None = None
    scores: list[float] | None = None
    values: list[float] | None = None
    offsets: list[int] | None = None
    probabilities: list[float] | None = None
    names: tuple[str, ...] = ()
    """What the columns of `probabilities` stand for."""

    @property
    def rows(self) -> int:
        """How many predictions these are."""
        if self.offsets is not None:
            return len(self.offsets) - 1
        return len(self.classes or self.scores or self.values or ())


def wanted(rule: OutputRule) -> str:
    """What to return instead, in words."""
    if rule.numeric:
        return "a number or {'value': …}"
    if rule.ragged:
        return "a list of classes or {'label': [...]}"
    return "a class, {'label': …, 'score': …} or (label, score)"


def is_column(value: object) -> bool:
    """Whether a value is a list of values rather than one."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return isinstance(value, (list, tuple, set, frozenset)) or hasattr(type(value), "to_numpy")


def listed(value: object) -> list[Any]:
    """A column as a list, a single value as a list of one."""
    if isinstance(value, np.ndarray):
        return value.ravel().tolist()
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        # A set has no order of its own; a trace should.
        return sorted(value, key=lambda item: semconv.class_text(item) or "")
    if hasattr(type(value), "to_numpy"):
        return value.to_numpy().tolist()  # type: ignore[attr-defined,no-any-return]
    return [value]


def plain_of(value: object) -> object:
    """The Python value of a numpy scalar; others as they are.

    Raises:
        Misfit: a numpy scalar that is no text, boolean or number.
    """
    if isinstance(value, np.generic):
        if value.dtype.kind not in "biufU":
            raise Misfit(f"a {type_name(type(value))} is no class or number; convert it")
        return value.item()
    return value


def class_of(value: object) -> str:
    """A class as `semconv.class_text` writes it.

    Raises:
        Misfit: it is no class.
    """
    written = None if _too_long(value) else semconv.class_text(value)
    if written is None and isinstance(value, str):
        raise Misfit(
            f"a text of {len(value):,} characters is no class, which has at most "
            f"{CLASS_LENGTH_MAX:,}; return the class, {MAPPER}"
        )
    if written is None:
        raise Misfit(f"a {type_name(type(value))} is no class; return a string, boolean or number")
    return written


def _too_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > CLASS_LENGTH_MAX


def probability_of(value: float) -> float:
    """The number, if it can be a probability, at most 1.

    Raises:
        Misfit: it cannot.
    """
    if not 0.0 <= value <= 1.0 + ROUNDING:
        raise Misfit("a score outside [0, 1] is no probability; return P(positive) or the label")
    return min(value, 1.0)


def number_of(value: object) -> float:
    """A finite float.

    Raises:
        Misfit: no number, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Misfit(f"a {type_name(type(value))} is no number; return a number or {{'value': …}}")
    try:
        number = float(value)
    except OverflowError:
        raise Misfit("an integer beyond float64; return a smaller number") from None
    if not math.isfinite(number):
        raise Misfit("NaN and infinities are no outputs; return a finite number")
    return number


def floats_of(items: Sequence[object]) -> list[float]:
    """Numbers of a batch; those that are missing or not finite are NaN, so that rows stay rows."""
    numbers = []
    for item in items:
        plain = plain_of(item)
        if isinstance(plain, bool) or not isinstance(plain, (int, float)):
            raise Misfit(f"a {type_name(type(item))} is no number; return numbers, {MAPPER}")
        numbers.append(float(plain) if math.isfinite(plain) else math.nan)
    return numbers
