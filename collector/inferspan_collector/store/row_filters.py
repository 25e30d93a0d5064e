"""Which predictions a question is about, as conditions of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def narrowed(filters: object, keys: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Conditions on predictions `p` of series `s`, and their parameters.

    Args:
        filters: has the keys, "" for those without one, and the event times `start_ns` and
            `end_ns`, [start, end); None = any.
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
    return conditions, parameters
