"""One pass over features × windows: every distance and every check, with thresholds and alerts.

Cost: 50 features of 1,000 fine bins × 1,440 windows below 3 s on one core
(`benchmarks/bench_drift.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.drift.bins import Bins, NumberBins
from inferspan_collector.drift.checks import CHECKS
from inferspan_collector.drift.columns import (
    FEATURE,
    OUTPUTS_AND_TRUTHS,
    Column,
    absent,
    columns_of,
    row_masks,
    weights_of,
)
from inferspan_collector.drift.counts import Counts, Float64, Int64, chosen
from inferspan_collector.drift.methods import CATEGORY, METHODS, NUMBER, critical
from inferspan_collector.drift.thresholds import Thresholds, learnt
from inferspan_collector.store.row_columns import RowColumns

LEAST: Final = 0.0
"""No distance and no share is less."""
BLOCK_CELLS: Final = 1 << 17
"""Windows × fine bins that are worked on at once: a megabyte of doubles."""
WINDOWS_ENOUGH: Final = 8
"""Windows of a reference whose spread says enough: by the t-distribution one window in thirty of a
model that is as it was alerts then, and one in three where two windows were learnt from."""
PARTS: Final = 10
"""Windows that a reference is cut into where its own are fewer than `WINDOWS_ENOUGH`."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a feature was like: its bins, all of it (W = 1), and its windows, to learn from."""

    bins: Bins
    whole: Counts
    windows: Counts

    @property
    def kind(self) -> str:
        """`number` or `category`."""
        return NUMBER if isinstance(self.bins, NumberBins) else CATEGORY


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """One figure over the windows: float64[W], NaN where it is not defined."""

    values: Float64
    thresholds: Thresholds
    known: NDArray[np.bool_]
    """bool[W]: whether the window and the reference hold enough rows to tell."""

    @property
    def alerts(self) -> NDArray[np.bool_]:
        """bool[W]: outside of the thresholds, of those that are known."""
        return self.thresholds.alerts(self.values) & self.known


def figures() -> frozenset[str]:
    """The names of all distances and checks."""
    return frozenset((*METHODS, *CHECKS))


def range_of(name: str) -> tuple[float, float | None]:
    """Least and greatest value of a distance or a check; None: there is no greatest one."""
    return LEAST, METHODS[name].LIMIT if name in METHODS else 1.0


def is_column(name: str) -> bool:
    """Whether a column can be called so."""
    return name in OUTPUTS_AND_TRUTHS or (name.startswith(FEATURE) and name != FEATURE)


def courses(
    reference: Reference,
    windows: Counts,
    said: Mapping[str, Thresholds] | None = None,
    minimum_n: int = 1,
) -> dict[str, Course]:
    """Every figure that is defined for the feature's kind, by its method's or check's name.

    Args:
        reference: of the feature.
        windows: counted in the reference's bins.
        said: thresholds by name, instead of learnt ones.
        minimum_n: the least that a window and the reference have to hold for the figure to be
            known: values for a distance, rows for a check.
    """
    given = {} if said is None else said
    whole = reference.whole
    enough = {
        True: (windows.n_values >= minimum_n) & (whole.n_values[0] >= minimum_n),
        False: (windows.n_rows >= minimum_n) & (whole.n_rows[0] >= minimum_n),
    }
    return {
        name: Course(values, given.get(name, own), enough[name in METHODS])
        for name, values, own in _figures(reference, windows)
    }


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """A column of the reference over W windows."""

    name: str
    reference: Reference
    counts: Counts
    figures: Mapping[str, Course]


def followed(
    references: Mapping[str, Reference],
    rows: RowColumns,
    windows: Int64,
    n: int,
    said: Callable[[str], Mapping[str, Thresholds]],
    minimum_n: int = 1,
) -> Iterator[Followed]:
    """Every column that the reference has, over the windows of some rows.

    Args:
        references: by column.
        rows: N of them.
        windows: int64[N]: the window of each row, 0 … n - 1.
        n: how many windows.
        said: column → thresholds by figure, instead of learnt ones.
        minimum_n: as for `courses`.
    """
    now, masks, weights = columns_of(rows), row_masks(rows), weights_of(rows)
    for name, reference in references.items():
        live = now.get(name) or absent(len(rows))
        kind = name.partition(".")[0]
        kept, weight = masks[kind], chosen(weights[kind], masks[kind])
        counts = live.take(kept).count(reference.bins, windows[kept], n, weight)
        figures = courses(reference, counts, said(name), minimum_n)
        yield Followed(name, reference, counts, figures)


def reference_of(
    column: Column, windows: Int64, n: int, weight: Float64 | None = None
) -> Reference | None:
    """Freeze a reference.

    Args:
        column: its values, N rows.
        windows: int64[N]: the window of each row, 0 … n - 1, rising.
        n: how many windows; thresholds are learnt from them as `to_learn_from` says.
        weight: float64[N]: for how many rows each stands; None = one. Bins lie where they would
            without.

    Returns:
        None where it holds no value.
    """
    bins = column.freeze()
    if bins is None:
        return None
    counts = column.count(bins, *to_learn_from(windows, n), weight)
    return Reference(bins, counts.together(), counts)


def to_learn_from(windows: Int64, n: int) -> tuple[Int64, int]:
    """The windows of a reference that thresholds are learnt from.

    Args:
        windows: int64[N]: the window of each row that says something, 0 … n - 1, rising.
        n: how many windows.

    Returns:
        The same where `WINDOWS_ENOUGH` windows or more hold a row; else the rows cut into `PARTS`
        parts of equal size, which are shorter than the windows and so vary more: thresholds are
        then wide rather than narrow.
    """
    if len(np.unique(windows)) >= WINDOWS_ENOUGH:
        return windows, n
    return np.arange(len(windows)) * PARTS // max(1, len(windows)), PARTS


def references_of(rows: RowColumns, windows: Int64, n: int) -> dict[str, Reference]:
    """As `reference_of`, of each column of the rows that holds a value, by its name."""
    masks, weights = row_masks(rows), weights_of(rows)
    found: dict[str, Reference] = {}
    for name, column in columns_of(rows).items():
        kind = name.partition(".")[0]
        kept, weight = masks[kind], chosen(weights[kind], masks[kind])
        reference = reference_of(column.take(kept), windows[kept], n, weight)
        if reference is not None:
            found[name] = reference
    return found


def _figures(reference: Reference, windows: Counts) -> Iterator[tuple[str, Float64, Thresholds]]:
    """Name, float64[W], and the thresholds that nobody had to say."""
    before = _values(reference, reference.windows)
    # What a processor has beside it is worked on at once: faster than all windows together.
    step = max(1, BLOCK_CELLS // windows.inside.shape[1])
    blocks = [windows.take(slice(at, at + step)) for at in range(0, len(windows), step)]
    parts = [_values(reference, block) for block in blocks or [windows]]
    for name in before:
        values = np.concatenate([part[name] for part in parts])
        if name in METHODS:
            yield name, values, _too_far(name, before[name], reference.bins)
        else:
            least, greatest = range_of(name)
            yield name, values, learnt(before[name], least=least, greatest=greatest)


def _values(reference: Reference, windows: Counts) -> dict[str, Float64]:
    """float64[W] of every distance and every check of the reference's kind."""
    distances = {
        name: method.distances(reference.whole, windows, reference.bins)
        for name, method in METHODS.items()
        if reference.kind in method.KINDS
    }
    return distances | {
        name: check.shares(windows)
        for name, check in CHECKS.items()
        if reference.kind in check.KINDS
    }


def _too_far(name: str, before: Float64, bins: Bins) -> Thresholds:
    """No lower threshold, as NannyML has none: a window that is like the reference alerts nobody.

    Args:
        name: of the method.
        before: float64[R]: how far the reference's windows are from the whole reference.
        bins: of the column.
    """
    law = critical(name, bins)
    if law is not None:
        return Thresholds(high=law)
    return replace(learnt(before, greatest=range_of(name)[1]), low=None)
