"""What a comparison answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """b - a, with its 95 % interval and the p-value of no difference.

    `test` says by which test, so that anyone can repeat it; `n` are the rows it rests on, of a and
    of b. `p_value` is None where there is none.
    """

    value: float
    low: float | None
    high: float | None
    p_value: float | None
    test: str
    n: tuple[int, int]
