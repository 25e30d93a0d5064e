"""The section `publish`: what is shown beside the API."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from inferspan_collector.config.endpoints import check_page, check_token_file, check_url
from inferspan_collector.config.section import Section
from inferspan_collector.config.spans import span_minutes


class Publish(Section):
    """What is shown beside the API."""

    quality_windows: tuple[str, ...] = ("1h", "1d")
    """Windows, back from now, of the gauges in /metrics."""
    figures_seconds: float = Field(60.0, ge=0.0, le=86_400.0)
    """How often figures that need rows are made anew for /metrics; 0 = never."""

    grafana: str | None = None
    """Grafana as readers' browsers see it, `http://127.0.0.1:3000`: where links of the page and of
    alerts lead; None = there are none."""

    otlp: str | None = None
    """An OTLP/HTTP endpoint that the series of /metrics are pushed to; None = nobody."""
    otlp_seconds: float = Field(60.0, ge=1.0, le=86_400.0)
    """How often."""
    otlp_token_file: Path | None = None
    """A file with the bearer token it wants; read at every push."""

    @field_validator("grafana")
    @classmethod
    def _a_page(cls, value: str | None) -> str | None:
        return check_page(value)

    @field_validator("otlp")
    @classmethod
    def _a_url(cls, value: str | None) -> str | None:
        return check_url(value)

    @model_validator(mode="after")
    def _a_token_that_is_there(self) -> Publish:
        check_token_file("otlp_token_file", self.otlp_token_file, "otlp", self.otlp)
        return self

    @field_validator("quality_windows")
    @classmethod
    def _spans(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            span_minutes(text)
        return value
