"""Outputs by row, and the plain values they are made of: what every shape of answer becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from inferspan import foreign, semconv
from inferspan.attributes import CLASS_LENGTH_MAX, names_text, type_name
from inferspan.foreign import is_missing
from inferspan.frozen import altered, frozen

if TYPE_CHECKING:
    # Importing inferspan need not wait for it.
    from numpy.typing import NDArray

ROWS_MAX: Final = 65_536
"""Rows of one batch call whose outputs are recorded; entries of one set or ranking."""
ELEMENTS_MAX: Final = 1 << 22
"""Numbers of a matrix of probabilities that are looked at (some 10 milliseconds)."""
FEW_CLASSES: Final = 64
"""Classes of one row up to which Python's own lists are faster than arrays."""
CLASS_TASKS: Final = (semconv.BINARY, semconv.MULTICLASS, semconv.MULTILABEL)
ROUNDING: Final = 1e-6
"""How far a probability in float32 may lie above 1."""
SUM_ROUNDING: Final = 0.01
"""How far the probabilities of one prediction may sum to something else than 1."""
MAPPER: Final = "or map it: @inferspan.predict(output=lambda returned: {'label': …})"
"""The remedy that always works."""
_UNTYPED_TASKS: Final = (semconv.EMBEDDING, semconv.DETECTION, semconv.GENERATION)
_UNTYPED_OPERATIONS: Final = ("embed", "transform", "detect", "generate")


@frozen
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

    form: Literal["class", "number", "set", "untyped"] = field(init=False)
    """What one prediction is: a class, a number, several classes (a set or a ranking), or nothing
    that is known here."""
    undeclared: bool = field(init=False)
    """Whether nothing tells a number that is a class from one that is a value."""
    positive_at: int | None = field(init=False)
    """Where the positive class stands among the classes; None where it does not."""
    answers: tuple[str, str] | None = field(init=False)
    """The negative and the positive class, where the threshold between them is declared too."""
    classes_text: str = field(init=False)
    """The classes as JSON text."""
    row: tuple[int, int] | None = field(init=False)
    """The shape of one row of probabilities, where these are few and say a class."""
    halves_at: int | None = field(init=False)
    """`positive_at`, where the likelier of two classes is the answer of a binary task."""

    def __post_init__(self) -> None:
        # Read in every call, so found once. The class is frozen to all others.
        unknown = self.task is None
        object.__setattr__(self, "form", self._form())
        object.__setattr__(
            self, "undeclared", unknown and self.form == "class" and not self.classes
        )
        known = self.positive is not None and self.positive in self.classes
        at = self.classes.index(self.positive) if known else None
        object.__setattr__(self, "positive_at", at)
        object.__setattr__(self, "answers", self._answers())
        object.__setattr__(self, "classes_text", names_text(self.classes))
        few = self.form == "class" and 1 < len(self.classes) <= FEW_CLASSES
        object.__setattr__(self, "row", (1, len(self.classes)) if few else None)
        halves = self.task == semconv.BINARY and len(self.classes) == 2 and self.answers is None
        object.__setattr__(self, "halves_at", at if halves else None)

    def _form(self) -> Literal["class", "number", "set", "untyped"]:
        if self.task is None and self.operation in _UNTYPED_OPERATIONS:
            return "untyped"
        if self.task in _UNTYPED_TASKS:
            return "untyped"
        if self.task in semconv.NUMERIC_TASKS:
            return "number"
        several = self.task in (semconv.MULTILABEL, semconv.RANKING) or self.operation == "rank"
        return "set" if several else "class"

    def _answers(self) -> tuple[str, str] | None:
        at = self.positive_at
        if self.threshold is None or len(self.classes) != 2 or at is None:
            return None
        return self.classes[1 - at], self.classes[at]

    def decided(self, row: list[float]) -> tuple[str, float | None]:
        """What the probabilities of two or more classes, of one row, say: class and score.

        Args:
            row: from 0 to 1, in the order of the classes.
        """
        at = self.positive_at
        if self.answers is not None and at is not None:
            best = at if row[at] >= (self.threshold or 0.0) else 1 - at
        elif len(row) == 2:
            best = 1 if row[1] > row[0] else 0
        else:
            best = row.index(max(row))
        if self.task != semconv.BINARY:
            return self.classes[best], row[best]
        return self.classes[best], None if at is None else row[at]

    def of_classes(self, classes: tuple[str, ...]) -> OutputRule:
        """The same rule for columns of other classes."""
        return self if classes == self.classes else altered(self, classes=classes)

    @property
    def untyped(self) -> bool:
        """Whether there is neither class, score nor value to expect."""
        return self.form == "untyped"

    @property
    def numeric(self) -> bool:
        """Whether the output is a number by declaration."""
        return self.form == "number"

    @property
    def ragged(self) -> bool:
        """Whether one prediction has several classes: a set, or a ranking."""
        return self.form == "set"


class Misfit(ValueError):
    """What was returned does not fit what was declared; says what, and what to do."""


@dataclass(slots=True, eq=False, repr=False)
class Columns:
    """Outputs by row; a single prediction is one row with `single` set."""

    single: bool
    classes: list[str | None] | None = None
    """None = a row without answer."""
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
    kind = type(value)
    if kind in (str, float, int, bool, bytes) or value is None:
        return False
    if issubclass(kind, (list, tuple, set, frozenset)):
        return True
    if kind is np.ndarray or foreign.is_tensor(value):
        return len(value.shape) == 1  # type: ignore[attr-defined]
    return foreign.is_array(value)


def is_float(kind: type) -> bool:
    """Whether values of a type are floating-point numbers, Python's or numpy's."""
    return issubclass(kind, (float, np.floating))


def listed(value: object) -> list[Any]:
    """A column as a list, a single value as a list of one.

    Raises:
        Misfit: more entries than rows are recorded.
    """
    kind = type(value)
    if issubclass(kind, (list, tuple, set, frozenset)):
        _check_rows(len(value))  # type: ignore[arg-type]
        # A set has no order of its own; a trace should.
        return sorted(value, key=_sort_key) if issubclass(kind, (set, frozenset)) else list(value)  # type: ignore[call-overload,no-any-return]
    if is_column(value):
        return array_of(value).ravel().tolist()
    return [value]


def _sort_key(item: object) -> str:
    return semconv.class_text(item) or ""


def _check_rows(rows: int) -> None:
    if rows > ROWS_MAX:
        raise Misfit(f"{rows} rows, at most {ROWS_MAX} are recorded; call in smaller batches")


def array_of(value: object) -> NDArray[Any]:
    """The numpy array of an array, tensor, series or frame.

    Raises:
        Misfit: too many elements, or on a device that nobody else may be waiting for.
    """
    shape: tuple[int, ...] = tuple(getattr(value, "shape", None) or ())
    if not shape and hasattr(type(value), "__len__") and foreign.length_of(value) is not None:
        shape = (len(value),)  # type: ignore[arg-type]
    if shape:
        _check_rows(shape[0])
    if math.prod(shape) > ELEMENTS_MAX:
        raise Misfit(
            f"{math.prod(shape):,} numbers, at most {ELEMENTS_MAX:,} are looked at; call in "
            "smaller batches"
        )
    if (device := foreign.on_accelerator(value)) is not None:
        raise Misfit(
            f"a tensor on {device} is not copied from there; return it from the CPU, or map it: "
            "@inferspan.predict(output=lambda returned: returned.cpu())"
        )
    array = foreign.as_array(value)
    if array is None:
        raise Misfit(f"a {type_name(type(value))} cannot be read; return a list, {MAPPER}")
    return array


def plain_of(value: object) -> object:
    """The Python value of a numpy scalar, a decimal or a tensor without dimensions; else itself.

    Raises:
        Misfit: a numpy scalar that is no text, boolean or number.
    """
    kind = type(value)
    if kind in (str, float, int, bool):
        return value
    if (kind is np.ndarray or foreign.is_tensor(value)) and not tuple(value.shape):  # type: ignore[attr-defined]
        value = array_of(value)[()]
        kind = type(value)
    if issubclass(kind, np.generic):
        if value.dtype.kind not in "biufU":  # type: ignore[attr-defined]
            raise Misfit(f"a {type_name(kind)} is no class or number; convert it")
        return value.item()  # type: ignore[attr-defined]
    # A user's kind of float may do anything when it is packed, later and elsewhere.
    if issubclass(kind, float) or foreign.is_decimal(kind):
        return float(value)  # type: ignore[arg-type]
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
    if written is None and isinstance(value, int):
        raise Misfit(
            f"an integer of {value.bit_length():,} bits is no class, which has at most "
            f"{semconv.INTEGER_BITS_MAX:,}; return the class, {MAPPER}"
        )
    if written is None:
        raise Misfit(f"a {type_name(type(value))} is no class; return a string, boolean or number")
    return written


def classes_of(items: Sequence[object]) -> list[str | None]:
    """Classes of a batch; those that are missing are None, so that rows stay rows.

    Raises:
        Misfit: one is no class, or all are missing.
    """
    classes: list[str | None]
    if set(map(type, items)) <= {str} or set(map(type, items)) <= {int}:
        # Batches repeat few classes. Of mixed types equal ones may be different classes: 1, True.
        known = {item: class_of(item) for item in set(items)}
        classes = [known[item] for item in items]
    else:
        classes = [None if is_missing(item) else class_of(plain_of(item)) for item in items]
    if classes and not any(text is not None for text in classes):
        raise Misfit("all rows are missing; return a class per row")
    return classes


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
    """Numbers of a batch; those that are missing or not finite are NaN, so that rows stay rows.

    Raises:
        Misfit: one is no number.
    """
    if set(map(type, items)) <= {float} and all(map(math.isfinite, items)):  # type: ignore[arg-type]
        return list(items)  # type: ignore[arg-type]
    numbers = []
    for item in items:
        plain = math.nan if is_missing(item) else plain_of(item)
        if isinstance(plain, bool) or not isinstance(plain, (int, float)):
            raise Misfit(f"a {type_name(type(item))} is no number; return numbers, {MAPPER}")
        try:
            numbers.append(float(plain) if math.isfinite(plain) else math.nan)
        except OverflowError:
            raise Misfit("an integer beyond float64; return a smaller number") from None
    return numbers


def scores_of(items: Sequence[object], rule: OutputRule) -> list[float]:
    """Scores of a batch, NaN where there is none; of a binary task probabilities.

    Raises:
        Misfit: one is no number or no probability, or all are missing.
    """
    scores = floats_of(items)
    if rule.task == semconv.BINARY:
        scores = [
            score if 0.0 <= score <= 1.0 or score != score else probability_of(score)
            for score in scores
        ]
    if scores and all(score != score for score in scores):
        raise Misfit("NaN and infinities are no outputs; return a finite number")
    return scores
