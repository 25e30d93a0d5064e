"""The section `publish`: what is shown beside the API."""

from __future__ import annotations

from pydantic import Field, field_validator

from inferspan_collector.config.section import Section
from inferspan_collector.config.spans import span_minutes


class Publish(Section):
    """What is shown beside the API."""

    quality_windows: tuple[str, ...] = ("1h", "1d")
    """Windows, back from now, of the gauges in /metrics."""
    figures_seconds: float = Field(60.0, ge=0.0, le=86_400.0)
    """How often figures that need rows are made anew for /metrics; 0 = never."""

    @field_validator("quality_windows")
    @classmethod
    def _spans(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            span_minutes(text)
        return value
