"""The section `jaeger`: Jaeger's side."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from inferspan_collector.config.endpoints import check_page, check_token_file, check_url
from inferspan_collector.config.section import Section
from inferspan_collector.config.spans import Span, span_ns

TimeAxis = Literal["prediction", "label_arrival"]


class Jaeger(Section):
    """Jaeger's side: where evaluation spans go and what its page may ask."""

    otlp: str | None = None
    """Jaeger's OTLP/HTTP endpoint, `http://127.0.0.1:14318`; absent = no evaluation spans."""
    ui: str | None = None
    """Jaeger's page, `http://127.0.0.1:16686`: the one foreign origin that may read the Model
    Quality reply, and where links point."""
    evaluation_status: Literal["error", "unset"] = "error"
    """Status of the span of a wrong prediction."""
    traces_kept: Span | None = None
    """For how long Jaeger keeps traces, `14d`: the evaluation of an older prediction stands in a
    trace of its own. None = beside its prediction, always."""
    correct_share: float = Field(1.0, ge=0.0, le=1.0, strict=True)
    """Share of the right predictions that get an evaluation span, chosen by hash."""
    outbox_entries: int = Field(1_000_000, ge=1, strict=True)
    """Evaluation spans that may wait for a Jaeger that does not answer; more are left out."""
    evaluations_per_second: int = Field(200, ge=1, strict=True)
    """Evaluation spans made per second of arrival, wrong predictions first; ten seconds' worth at
    once after a pause."""
    rebuilt_spans_per_second: int = Field(20, ge=0, strict=True)
    """Spans of wrong predictions that were not sampled, rebuilt per second of arrival, ten
    seconds' worth at once after a pause; 0 = none."""
    span_kind: Literal["server", "internal", "client", "producer", "consumer"] = "server"
    """Kind under which the Monitor tab shows model operations (its own default is server)."""

    time_axis: TimeAxis = "prediction"
    """Where the Monitor tab shows an evaluation: when the prediction was made, or when its label
    came, for models whose labels take longer than the two days that the tab looks back."""

    monitor_upstream: str | None = None
    """The Prometheus that Jaeger's Monitor tab asked before, `http://127.0.0.1:9090`: it is asked
    for what is not ours, so that other services keep their graphs."""
    monitor_upstream_token_file: Path | None = None
    """A file with the bearer token it wants; read at every question."""

    @property
    def traces_kept_ns(self) -> int | None:
        """`traces_kept` in ns."""
        return None if self.traces_kept is None else span_ns(self.traces_kept)

    @field_validator("ui")
    @classmethod
    def _a_page(cls, value: str | None) -> str | None:
        return check_page(value)

    @field_validator("otlp", "monitor_upstream")
    @classmethod
    def _a_url(cls, value: str | None) -> str | None:
        return check_url(value)

    @model_validator(mode="after")
    def _a_token_that_is_there(self) -> Jaeger:
        check_token_file(
            "monitor_upstream_token_file",
            self.monitor_upstream_token_file,
            "monitor_upstream",
            self.monitor_upstream,
        )
        return self
