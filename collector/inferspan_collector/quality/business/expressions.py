"""The language of a team's own figures: aggregates of rows, and arithmetic of aggregates.

    sum(amount) where actual = 'fraud' and predicted != 'fraud'
    (sum(amount) where predicted = 'fraud') / sum(amount)
    mean(abs(value - truth)) where slice.country in ('DE', 'FR')

Columns are `predicted`, `actual` (texts), `score`, `value`, `truth` (numbers), and declared
features and slices by their names: `feature.amount`, `slice.country` where a name is both, "my
name" where it is odd.
Aggregates are `sum`, `mean`, `count`; functions `abs`, `min`, `max`. Nothing else exists: an
expression is parsed into these few node types at the start (`parsing`), and evaluated on whole
columns. Where a value is missing, a comparison is false, and a row is in no aggregate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Float64, Objects, object_column

NUMBERS: Final = ("score", "value", "truth")
TEXTS: Final = ("predicted", "actual")
FEATURE, SLICE = "feature.", "slice."
Columns = Mapping[str, NDArray[Any]]
"""Name → float64[N], NaN = missing, or texts: object[N], None = missing. Features and slices have
their prefix."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column by name, as it was written."""

    name: str

    def numbers(self, columns: Columns, rows: int) -> Float64:
        """float64[N]; NaN where it is missing, or no number."""
        found = self._find(columns)
        if found is None:
            return np.full(rows, np.nan)
        if found.dtype == np.object_:
            return np.array([_number(text) for text in found.tolist()], np.float64)
        return found

    def texts(self, columns: Columns, rows: int) -> Objects:
        """object[N]; None where it is missing."""
        found = self._find(columns)
        if found is None:
            return np.full(rows, None, np.object_)
        if found.dtype != np.object_:
            return object_column(
                None if number != number else f"{number:g}" for number in found.tolist()
            )
        return found

    def _find(self, columns: Columns) -> NDArray[Any] | None:
        for name in (self.name, FEATURE + self.name, SLICE + self.name):
            if name in columns:
                return columns[name]
        return None


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    value: float

    def numbers(self, columns: Columns, rows: int) -> Float64:
        """float64[N], all the same."""
        return np.full(rows, self.value)


@dataclass(frozen=True, slots=True)
class Computed:
    """Arithmetic or a function of numbers."""

    how: Callable[..., Any]
    of: tuple[Value, ...]

    def numbers(self, columns: Columns, rows: int) -> Float64:
        """float64[N]; NaN where one is missing, or the result is no number."""
        with np.errstate(all="ignore"):
            found = self.how(*(each.numbers(columns, rows) for each in self.of))
        return np.where(np.isfinite(found), found, np.nan)


Value = Column | Number | Computed


@dataclass(frozen=True, slots=True)
class Compared:
    """Two numbers."""

    how: Callable[..., Any]
    left: Value
    right: Value

    def holds(self, columns: Columns, rows: int) -> Bool:
        """bool[N]; false where one is missing."""
        left, right = self.left.numbers(columns, rows), self.right.numbers(columns, rows)
        found: Bool = self.how(left, right) & ~np.isnan(left) & ~np.isnan(right)
        return found


@dataclass(frozen=True, slots=True)
class Same:
    """A text is one of several texts, or what another column says; or, if `negated`, is not."""

    column: Column
    texts: frozenset[str] | Column
    negated: bool = False

    def holds(self, columns: Columns, rows: int) -> Bool:
        """bool[N]; false where one is missing."""
        mine = self.column.texts(columns, rows).tolist()
        if isinstance(self.texts, Column):
            others = self.texts.texts(columns, rows).tolist()
            pairs = zip(mine, others, strict=True)
            return np.array(
                [a is not None and b is not None and (a == b) != self.negated for a, b in pairs],
                np.bool_,
            )
        wanted = self.texts
        return np.array(
            [text is not None and (text in wanted) != self.negated for text in mine], np.bool_
        )


@dataclass(frozen=True, slots=True)
class Both:
    """All (`and`) or any (`or`) of two conditions."""

    every: bool
    left: Condition
    right: Condition

    def holds(self, columns: Columns, rows: int) -> Bool:
        """bool[N]."""
        left, right = self.left.holds(columns, rows), self.right.holds(columns, rows)
        return left & right if self.every else left | right


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary."""

    condition: Condition

    def holds(self, columns: Columns, rows: int) -> Bool:
        """bool[N]."""
        return ~self.condition.holds(columns, rows)


Condition = Compared | Same | Both | Not


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`sum`, `mean` or `count` of the rows where a condition holds."""

    how: str
    value: Value | None
    where: Condition | None

    def rows(self, columns: Columns, rows: int) -> Float64:
        """What each row adds; NaN where it is left out."""
        values = np.ones(rows) if self.value is None else self.value.numbers(columns, rows)
        if self.where is None:
            return values
        return np.where(self.where.holds(columns, rows), values, np.nan)


@dataclass(frozen=True, slots=True)
class Figured:
    """Arithmetic of aggregates, numbers, and of such arithmetic."""

    how: Callable[..., Any]
    of: tuple[Term, ...]


Term = Aggregate | Number | Figured


@dataclass(frozen=True, slots=True)
class Expression:
    """A whole figure: its text, its aggregates, and what is made of them."""

    text: str
    aggregates: tuple[Aggregate, ...]
    term: Term

    def value(self, found: Mapping[Aggregate, Any]) -> Any:
        """The figure from the values of its aggregates, scalars or arrays; NaN where undefined."""
        with np.errstate(all="ignore"):
            return _value(self.term, found)


def _value(term: Term, found: Mapping[Aggregate, Any]) -> Any:
    if isinstance(term, Aggregate):
        return found[term]
    if isinstance(term, Number):
        return np.float64(term.value)
    return term.how(*(_value(each, found) for each in term.of))


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan
