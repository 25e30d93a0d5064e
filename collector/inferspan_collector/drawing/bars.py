"""A share of a whole, as a bar."""

from __future__ import annotations

from markupsafe import Markup

from inferspan_collector.drawing.markup import Attributes, element, percent


def share(
    description: str, value: float, low: float | None = None, high: float | None = None
) -> Markup:
    """A bar from 0 to `value` of 1, with its interval as a line across the end.

    Args:
        description: what who does not see it is told.
        value: in [0, 1]; what is beyond is drawn at the edge.
        low: lower end of the interval.
        high: upper end of it.
    """
    within = min(1.0, max(0.0, value))
    parts = [
        element("rect", {"class": "whole", "width": "100%", "height": "8", "y": "4", "rx": "2"}),
        element(
            "rect", {"class": "share", "width": percent(within), "height": "8", "y": "4", "rx": "2"}
        ),
    ]
    if low is not None and high is not None:
        ends: Attributes = {"x1": percent(max(0.0, low)), "x2": percent(min(1.0, high))}
        parts.append(element("line", {"class": "interval", **ends, "y1": "8", "y2": "8"}))
    about: Attributes = {"class": "chart bar", "role": "img", "aria-label": description}
    return element("svg", {**about, "width": "100%", "height": "16"}, *parts)
