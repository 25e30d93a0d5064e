"""Which predictions a question is about, as conditions of SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Sliced(Protocol):
    """Filters that may name slices."""

    @property
    def slices(self) -> Mapping[str, str] | None:
        """Key → value; None = any."""


def narrowed(filters: Sliced, keys: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Conditions on predictions `p` of series `s`, and their parameters.

    Args:
        filters: has the keys, "" for those without one, the event times `start_ns` and `end_ns`,
            [start, end), and `slices`, key → value, all of which a prediction has; None = any.
        keys: columns of the series.
    """
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    tests = [(key, f"coalesce(s.{key}, '') =") for key in keys]
    for key, test in (*tests, ("start_ns", "p.event_time >="), ("end_ns", "p.event_time <")):
        wanted = getattr(filters, key)
        if wanted is not None:
            conditions.append(f"{test} ${key}")
            parameters[key] = wanted
    slices: Mapping[str, str] = filters.slices or {}
    for i, (key, wanted) in enumerate(slices.items()):
        conditions.append(
            "EXISTS (FROM slice_sets AS k WHERE k.slices_id = p.slices_id"
            f" AND k.slice_key = $slice_key_{i} AND k.slice_value = $slice_value_{i})"
        )
        parameters |= {f"slice_key_{i}": key, f"slice_value_{i}": wanted}
    return conditions, parameters
