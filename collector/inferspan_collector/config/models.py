"""The section `models`: what is known of each beyond what its spans say."""

from __future__ import annotations

from pydantic import Field

from inferspan_collector.config.section import Section
from inferspan_collector.config.spans import Span


class Target(Section):
    """One kind of truth of a model."""

    sources: tuple[str, ...] = ()
    """Sources in ascending rank: where two disagree, the later in this list wins."""
    window: Span | None = None
    """How long a label may come after its prediction, or before it; absent = as
    `store.retention.rows` says."""


class Model(Section):
    """What the collector knows of one model beyond what its spans say."""

    owner: str | None = None
    description: str | None = None
    runbook: str | None = None
    positive_class: str | None = None
    class_aliases: dict[str, str] = Field(default_factory=dict)
    """Other spellings → the class: `{"1": fraud, "0": legit}`; applied to outputs and labels."""
    tolerance: float | None = Field(None, ge=0.0, strict=True)
    """Regression: an absolute error up to this passes."""
    latency_objective_ms: float | None = Field(None, gt=0.0, strict=True)
    primary_target: str = "default"
    targets: dict[str, Target] = Field(default_factory=dict)

    def canonical(self, text: str | None) -> str | None:
        """The class that a spelling means: its alias, else itself; None stays None."""
        return None if text is None else self.class_aliases.get(text, text)
