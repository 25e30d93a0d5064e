"""Measures variants side by side: short rounds in random order, ratios within one sweep.

A sweep runs one round of every variant, in random order, and each variant's time is divided by
that of its base in the same sweep. Long rounds in a fixed order disturb each other through
background threads, and two runs on a shared machine are not comparable; two rounds a few
milliseconds apart are.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

ROUND_CALLS: Final = 200
"""Calls of a round, the same for all variants: a longer round is interrupted more often."""
ROUND_NS_MAX: Final = 50_000_000
"""What a round of slow calls may take; it has fewer of them."""
TRIALS: Final = 5
Clock = Callable[[], int]


@dataclass(frozen=True)
class Variant:
    """One way of doing the same.

    Args:
        name: what the table calls it.
        call: what is measured.
        arguments: what it is called with.
        base: name of the variant that its time is divided by.
        after: run at the end of each round, inside the measured time.
    """

    name: str
    call: Callable[..., object]
    arguments: tuple[Any, ...] = ()
    base: str = "by hand (R)"
    after: Callable[[], object] | None = None


@dataclass(frozen=True)
class Measured:
    """What a variant took, µs a call in each sweep, and its ratios to its base there."""

    variant: Variant
    calls: int
    microseconds: list[float]
    ratios: list[float]

    def line(self) -> str:
        """As a line of a table: median time, median ratio, the middle half of the ratios."""
        low, middle, high = statistics.quantiles(self.ratios, n=4, method="inclusive")
        name, base = self.variant.name, self.variant.base
        median = statistics.median(self.microseconds)
        return (
            f"  {name:<44} {median:>11,.2f} µs {middle:>9,.2f} ×  "
            f"{f'{low:,.2f} – {high:,.2f}':<20} {base}"
        )


HEADER: Final = f"  {'':<44} {'a call':>14} {'ratio':>11}  {'p25 – p75':<20} to"


def measure(
    variants: Sequence[Variant],
    sweeps: int,
    clock: Clock = time.perf_counter_ns,
    calls: int | None = None,
) -> list[Measured]:
    """Run sweeps over all variants.

    Args:
        variants: one or more; every base must be among them.
        sweeps: at least 2.
        clock: what is measured, ns.
        calls: of each round; None = `ROUND_CALLS`, fewer where they take over `ROUND_NS_MAX`.
    """
    counts = {variant.name: calls or _calls_of(variant) for variant in variants}
    times: dict[str, list[float]] = {variant.name: [] for variant in variants}
    order, chance = list(variants), random.Random(0)
    for _ in range(sweeps):
        chance.shuffle(order)
        for variant in order:
            times[variant.name].append(_round(variant, counts[variant.name], clock))
    return [
        Measured(
            variant,
            counts[variant.name],
            times[variant.name],
            [
                mine / base
                for mine, base in zip(times[variant.name], times[variant.base], strict=True)
            ],
        )
        for variant in variants
    ]


def show(title: str, measured: Iterable[Measured]) -> None:
    """Print a table."""
    print(f"\n{title}\n{HEADER}")
    for one in measured:
        print(one.line(), flush=True)


def _round(variant: Variant, calls: int, clock: Clock) -> float:
    call, arguments = variant.call, variant.arguments
    begun = clock()
    for _ in range(calls):
        call(*arguments)
    if variant.after is not None:
        variant.after()
    return (clock() - begun) / calls / 1e3


def _calls_of(variant: Variant) -> int:
    # The first call does what is done once; the least of some trials is the least disturbed.
    _round(variant, 1, time.perf_counter_ns)
    once = min(_round(variant, 1, time.perf_counter_ns) for _ in range(TRIALS)) * 1e3
    return max(1, min(ROUND_CALLS, int(ROUND_NS_MAX / once)))
