"""The section `publish`: what is shown beside the API."""

from __future__ import annotations

import re
from typing import Final

from pydantic import field_validator

from inferspan_collector.config.section import Section

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_SPAN_MINUTES: Final = {"m": 1, "h": 60, "d": 1440}


def span_minutes(text: str) -> int:
    """The minutes of `30m`, `1h` or `7d`.

    Raises:
        ValueError: it is none of these.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a span of time like 30m, 1h or 7d")
    return int(match[1]) * _SPAN_MINUTES[match[2]]


class Publish(Section):
    """What is shown beside the API."""

    quality_windows: tuple[str, ...] = ("1h", "1d")
    """Windows, back from now, of the gauges in /metrics."""

    @field_validator("quality_windows")
    @classmethod
    def _spans(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            span_minutes(text)
        return value
