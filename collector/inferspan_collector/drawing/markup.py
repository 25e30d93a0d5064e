"""Elements of SVG and HTML, with everything in them escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from markupsafe import Markup, escape

STYLESHEET: Final = Path(__file__).with_name("drawing.css")
"""The colours of every chart, light and dark."""

Attributes = Mapping[str, str | int | float | None]


def element(name: str, attributes: Attributes, *children: str) -> Markup:
    """One element; children that are no `Markup` are texts, and are escaped.

    Args:
        name: of the element.
        attributes: `_` in a name is written as `-`; those that are None are left out.
        children: what stands in it.
    """
    said = "".join(
        f' {key.replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{said}>{inside}</{name}>" if inside else f"<{name}{said}/>")


def percent(share: float) -> str:
    """A place from 0 to 1 as SVG writes it."""
    return f"{_text(share * 100)}%"


def _text(value: str | int | float) -> str:
    """Two decimals are less than a tenth of a pixel; the rest would only be sent."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
