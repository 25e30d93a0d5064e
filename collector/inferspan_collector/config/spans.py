"""Spans of time as the configuration writes them: `30m`, `1h`, `7d`."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator

MINUTE_NS: Final = 60_000_000_000
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_SPAN_MINUTES: Final = {"m": 1, "h": 60, "d": 1440}


def span_minutes(text: str) -> int:
    """The minutes of `30m`, `1h` or `7d`.

    Raises:
        ValueError: it is none of these.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a span of time like 30m, 1h or 7d: minutes, hours or days, no seconds"
        )
    return int(match[1]) * _SPAN_MINUTES[match[2]]


def span_ns(text: str) -> int:
    """The nanoseconds of a span that was checked."""
    return span_minutes(text) * MINUTE_NS


def _checked(text: str) -> str:
    span_minutes(text)
    return text


def _with_its_unit(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit; write it with one: 30m, 1h or {value:g}d")
    return value


Span = Annotated[str, BeforeValidator(_with_its_unit), AfterValidator(_checked)]
"""A checked span of time, as it was written."""
