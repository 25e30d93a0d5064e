"""Series of a metric held within a limit: the rest is folded into `__other__`, never lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from inferspan_collector.telemetry import OTHER

Labels = tuple[str, ...]
"""Label values, in the order of the metric's label names."""
_T = TypeVar("_T")


def label(text: str | None) -> str:
    """A label's value: absent is empty, as Prometheus has it; always encodable as UTF-8."""
    return (text or "").encode("utf-8", "replace").decode("utf-8")


def top(sizes: Mapping[Labels, int], room: int, beside: Collection[Labels] = ()) -> set[Labels]:
    """The `room` largest series beside those in `beside`, ties in the order of their texts."""
    others = [key for key in sizes if key not in beside]
    others.sort(key=lambda key: (-sizes[key], key))
    return set(others[: max(0, room)])


def fold(series: Mapping[Labels, _T], own: Collection[Labels]) -> dict[Labels, list[_T]]:
    """Gather what stands outside `own` under one series, all of whose labels are `__other__`.

    Returns:
        Label values → what is to be added up: one value, or all the folded ones.
    """
    folded: dict[Labels, list[_T]] = {}
    for key, value in series.items():
        place = key if key in own else (OTHER,) * len(key)
        folded.setdefault(place, []).append(value)
    return folded
