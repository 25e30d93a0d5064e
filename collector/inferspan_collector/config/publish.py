"""The section `publish`: what is shown beside the API."""

from __future__ import annotations

from pydantic import field_validator

from inferspan_collector.config.section import Section
from inferspan_collector.config.spans import span_minutes


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
