"""Distances between a window and the reference: one module each, found by their file's name.

A member has `KINDS`, the kinds of feature that it is defined for, `LIMIT`, the greatest value that
it can have (None: none), and

    distances(reference, windows, bins) -> float64[W]

of the reference's counts (W = 1), the windows' and the bins that both were counted in. It is pure,
never raises, and gives NaN where a side holds no value. A distance of 0 is no difference. It is a
function of counts, so it is the same for whatever parts the counts were merged from.

A member whose distances follow a known law says by `critical(bins) -> float` from where on they
alert; of all others that is learnt from the reference's windows. Being near alerts nobody.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from inferspan_collector.drift.bins import Bins
from inferspan_collector.drift.counts import Counts, Float64

NUMBER: Final = "number"
CATEGORY: Final = "category"


class Method(Protocol):
    """What a module of this package holds."""

    KINDS: frozenset[str]
    LIMIT: float | None

    def distances(self, reference: Counts, windows: Counts, bins: Bins) -> Float64:
        """float64[W]: how far each window is from the reference."""


def _discover() -> Mapping[str, Method]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = {
        name: importlib.import_module(f"{__name__}.{name}")
        for name in names
        if name != "proportions"
    }
    return MappingProxyType(found)


METHODS: Final = _discover()
"""Every method by its module's name."""


def critical(name: str, bins: Bins) -> float | None:
    """From where on a distance alerts by a law of its own; None where that is learnt."""
    law = getattr(METHODS[name], "critical", None)
    return None if law is None else float(law(bins))
