"""Measures that Python packages bring: entry points of the group `inferspan_metrics`.

An entry point names a class with the protocol of `measures.Measure`: `of(rows, question)` makes a
state of labelled rows, states are added by `+`, `figures(question)` says its figures. A package
declares it in its `pyproject.toml`, and a model's configuration asks for it by name:

    [project.entry-points.inferspan_metrics]
    uplift = "our_metrics:Uplift"
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Final

from inferspan_collector.quality import names
from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.judged import Judged
from inferspan_collector.quality.measures import Measure

GROUP: Final = "inferspan_metrics"
_PROTOCOL: Final = ("of", "__add__", "figures")

_logger = logging.getLogger(__name__)


class UnknownMeasure(ValueError):
    """No installed package brings it, or what it brings is no measure."""


def load(name: str) -> type[Measure]:
    """The measure of an entry point.

    Raises:
        UnknownMeasure: there is none of that name, it is that of a figure of ours, it cannot be
            imported, or lacks a method.
    """
    if name in names():
        raise UnknownMeasure(f"{name!r} is the name of a figure that there is; choose another")
    installed = entry_points(group=GROUP)
    if name not in installed.names:
        known = ", ".join(sorted(installed.names)) or "none"
        raise UnknownMeasure(
            f"{name!r} is no installed entry point of the group {GROUP}; installed: {known}"
        )
    try:
        found: type[Measure] = installed[name].load()
    except Exception as error:
        raise UnknownMeasure(f"{name!r} cannot be loaded: {error}") from error
    lacking = [method for method in _PROTOCOL if not callable(getattr(found, method, None))]
    if lacking:
        raise UnknownMeasure(f"{name!r} lacks {', '.join(lacking)}; see the protocol Measure")
    return found


def figures(
    name: str, measure: type[Measure], parts: Sequence[Judged], question: Question
) -> dict[str, Figure]:
    """The figures of rows in parts; whatever the measure does wrong becomes the reason."""
    try:
        state = measure.of(parts[0], question)
        for part in parts[1:]:
            state = state + measure.of(part, question)
        found = state.figures(question)
        return {_free(str(key)): _checked(figure) for key, figure in found.items()}
    except Exception as error:
        # It is not ours: it must not cost the answer.
        _logger.warning("measure %s failed: %s", name, error, exc_info=True)
        return {name: Figure.missing(f"the measure {name} failed: {error}")}


def _free(name: str) -> str:
    if name in names():
        raise ValueError(f"{name!r} is the name of a figure that there is; choose another")
    return name


def _checked(figure: Figure) -> Figure:
    """The figure, if it is one that an answer can hold; a wrong number becomes the reason."""
    if not isinstance(figure, Figure):
        raise TypeError(f"a figure is a Figure, not {type(figure).__name__}")
    n = int(figure.n)
    if n < 0:
        raise ValueError(f"n is how many predictions a figure rests on, not {n}")
    if figure.value is None:
        return Figure.missing(str(figure.reason or "the measure gave no number and no reason"), n)
    value = float(figure.value)
    if not math.isfinite(value):
        return Figure.missing("the measure gave no finite number", n)
    low, high = (None if end is None else float(end) for end in (figure.low, figure.high))
    if not all(end is None or math.isfinite(end) for end in (low, high)):
        low = high = None
    return Figure(value, n, low, high)
