"""The section `limits`."""

from __future__ import annotations

from pydantic import ConfigDict, Field, field_validator

from inferspan_collector.config.section import Section
from inferspan_collector.config.store import amount_bytes


class Limits(Section):
    """Everything has a limit; what is over is refused or folded, and counted."""

    # YAML's `yes` is no number, and a text is none either.
    model_config = ConfigDict(strict=True)

    memory: str | None = None
    """What the process may take altogether: an amount. Parts that are not set share it."""
    request_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    """One request, after decompression."""
    connections: int = Field(1_000, ge=8)
    """Connections open at once over all HTTP listeners; one more is answered 503 and closed."""
    queue_bytes: int = Field(256 * 1024 * 1024, ge=1024 * 1024)
    """Requests under way, and as much again of decoded ones that wait for the journal or the store;
    beyond it senders get 503 and Retry-After."""
    group_bytes: int = Field(16 * 1024 * 1024, ge=1024)
    """Requests that share one write to the journal, or one transaction where they skip it."""
    group_milliseconds: float = Field(4.0, ge=0.0, le=1000.0)
    """How long such a write waits for more requests, from the oldest of them on; twice as long
    while they keep coming, and up to five times as long for many that are being received."""
    apply_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    """Acknowledged requests that the store takes over together, at once when there are so many; a
    quarter of `queue_bytes` at most."""
    apply_milliseconds: float = Field(1000.0, ge=0.0, le=10_000.0)
    """How long acknowledged requests wait to be taken over, where no question asks for them."""
    models: int = Field(1_000, ge=1)
    """Distinct combinations of all `SERIES_KEYS`, from environment to positive class."""
    slice_values: int = Field(50, ge=1)
    """Distinct values of one slice key of one model; more fold into `__other__`."""
    slice_combinations: int = Field(20_000, ge=1)
    """Distinct combinations of slice values; predictions beyond count without their slices."""
    classes: int = Field(500, ge=2)
    """Distinct classes of one model; more fold into `__other__`."""
    stages: int = Field(100, ge=1)
    """Distinct stages of one model; more fold into `__other__`."""
    stage_runs: int = Field(2_000_000, ge=1_000)
    """Runs of stages that are known again for some twenty minutes; beyond them none is counted."""
    pending_labels: int = Field(10_000_000, ge=1)
    """Labels that may wait for their prediction; with more, labels are refused."""
    entity_pairs: int = Field(100_000, ge=1)
    """Pairs of label and prediction that the labels by entity or response of a request may make;
    with more it is refused."""
    query_windows: int = Field(5_000, ge=1)
    """Windows × groups that one API answer may hold."""
    query_rows: int = Field(500_000, ge=1_000)
    """Labelled predictions that one API answer may read for figures of scores and numbers."""
    metric_series: int = Field(10_000, ge=100)
    """Series of one metric in `/metrics`; more fold into `__other__`."""

    @field_validator("memory")
    @classmethod
    def _an_amount(cls, value: str | None) -> str | None:
        if value is not None and amount_bytes(value) is None:
            raise ValueError(f"{value!r} is no amount of memory; write it as 2GB or 1.5GiB")
        return value
