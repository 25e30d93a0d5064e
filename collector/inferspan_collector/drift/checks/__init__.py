"""Questions about the data of a window: one module each, found by their file's name.

A member has `KINDS` and

    shares(windows) -> float64[W]

the share of the window's rows to which it happened, 0 … 1, NaN for a window without rows. It is
pure, never raises, and is exact: a ratio of two counts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from inferspan_collector.drift.counts import Amounts, Counts, Float64


class Check(Protocol):
    """What a module of this package holds."""

    KINDS: frozenset[str]

    def shares(self, windows: Counts) -> Float64:
        """float64[W]: of each window the share of rows."""


def share_of(rows: Amounts, all_rows: Amounts) -> Float64:
    """float64[W]: rows ÷ all rows, NaN where there are none."""
    n = all_rows.astype(np.float64)
    n[n == 0] = np.nan
    shares: Float64 = rows / n
    return shares


def _discover() -> Mapping[str, Check]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return MappingProxyType({name: importlib.import_module(f"{__name__}.{name}") for name in names})


CHECKS: Final = _discover()
"""Every check by its module's name."""
