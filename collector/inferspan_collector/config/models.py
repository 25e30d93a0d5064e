"""The section `models`: what is known of each beyond what its spans say."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from datetime import datetime

from pydantic import Field, field_validator, model_validator

from inferspan import semconv
from inferspan_collector.config.jaeger import TimeAxis
from inferspan_collector.config.section import Section
from inferspan_collector.config.spans import Span, span_ns


class AbsentMeans(Section):
    """What it means that no label came."""

    value: str | bool | int | float
    """The truth then: a class, or a number."""
    after: Span
    """How long after the prediction's own time, as `30d`."""

    @property
    def truth(self) -> tuple[str, float]:
        """As labels carry it: its text, and its number, NaN where it is none."""
        text = semconv.class_text(self.value)
        assert text is not None, "checked"
        numeric = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return text, float(self.value) if numeric else math.nan

    @property
    def after_ns(self) -> int:
        """`after` in nanoseconds."""
        return span_ns(self.after)

    @field_validator("value")
    @classmethod
    def _a_truth(cls, value: str | bool | int | float) -> str | bool | int | float:
        if not semconv.class_text(value):
            raise ValueError(f"{value!r} is no truth; write a class or a finite number")
        return value


class Target(Section):
    """One kind of truth of a model."""

    sources: tuple[str, ...] = ()
    """Sources in ascending rank: where two disagree, the later in this list wins."""
    window: Span | None = None
    """How long a label may come after its prediction, or before it; absent = as
    `store.retention.rows` says."""
    horizon: Span | None = None
    """How far before a label of an entity its predictions may lie; absent = as far as `window`."""
    absent_means: AbsentMeans | None = None
    """What it means that no label came; absent = nothing: the prediction stays unlabelled."""
    passes_from: float | None = Field(None, strict=True)
    """An evaluation whose class does not say so passes from this score on."""


class Reference(Section):
    """What a model was like when all was well: what drift and estimates are measured against."""

    since: datetime | None = None
    """Predictions from this event time on; absent = from the first."""
    until: datetime | None = None
    """Before this event time; absent = the first predictions of the model."""
    first: int = Field(10_000, ge=100, le=1_000_000)
    """How many predictions at most, the oldest ones."""

    @field_validator("since", "until")
    @classmethod
    def _an_instant(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no offset, so it is no instant; write {value}Z")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Reference:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError(f"until = {self.until} is not after since = {self.since}")
        return self


class Threshold(Section):
    """A constant instead of a learnt threshold: a value outside of [lower, upper] alerts."""

    lower: float | None = None
    """None = none on this side."""
    upper: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _which_side(cls, value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(
                f"{value} is on neither side; write {{lower: {value}}} to alert below it, "
                f"{{upper: {value}}} to alert above it"
            )
        return value

    @model_validator(mode="after")
    def _an_interval(self) -> Threshold:
        if self.lower is None and self.upper is None:
            raise ValueError("neither lower nor upper is given; give one, or leave the figure out")
        for name, value in (("lower", self.lower), ("upper", self.upper)):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} = {value} can never be crossed; leave it out")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower = {self.lower} is above upper = {self.upper}; swap them")
        return self


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
    figures: dict[str, str] = Field(default_factory=dict)
    """Figures of the team's own: name → expression, as `quality.business.expressions` says."""
    costs: dict[str, dict[str, float]] = Field(default_factory=dict)
    """What a prediction costs: actual class → predicted class → price, 0 where none is given."""
    measures: tuple[str, ...] = ()
    """Entry points of the group `inferspan_metrics` that measure this model too."""
    minimum_n: int = Field(30, ge=1, strict=True)
    """A figure that rests on fewer predictions is marked as not yet known."""
    latency_objective_ms: float | None = Field(None, gt=0.0, strict=True)
    latency_objective_share: float = Field(0.99, gt=0.0, lt=1.0, strict=True)
    """The share of calls that should take no longer."""
    accuracy_objective: float | None = Field(None, gt=0.0, lt=1.0, strict=True)
    """The share of judged predictions that should be right."""
    availability_objective: float | None = Field(None, gt=0.0, lt=1.0, strict=True)
    """The share of calls that should not raise."""
    primary_target: str = "default"
    time_axis: TimeAxis | None = None
    """As `jaeger.time_axis`, of this model; absent = as that says."""
    reference: Reference = Field(default_factory=Reference)
    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    """Figure, drift figure, or `<column>.<drift figure>` → its constants."""
    targets: dict[str, Target] = Field(default_factory=dict)

    @field_validator("figures")
    @classmethod
    def _expressions(cls, figures: dict[str, str]) -> dict[str, str]:
        # Imported here: the language is of a stage that reads this configuration.
        from inferspan_collector.quality import names
        from inferspan_collector.quality.business import parsing

        for name, text in figures.items():
            if name in names():
                raise ValueError(f"{name} is the name of a figure that there is; choose another")
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
                raise ValueError(f"{name!r} is no name: use a-z, 0-9 and _, a letter first")
            try:
                parsing.parsed(text)
            except parsing.BadExpression as error:
                raise ValueError(f"figure {name}: {error}") from error
        return figures

    @field_validator("measures")
    @classmethod
    def _installed(cls, measures: tuple[str, ...]) -> tuple[str, ...]:
        from inferspan_collector.quality.business import plugged_in

        for name in measures:
            try:
                plugged_in.load(name)
            except plugged_in.UnknownMeasure as error:
                raise ValueError(str(error)) from error
        return measures

    @field_validator("costs")
    @classmethod
    def _prices(cls, costs: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for actual, prices in costs.items():
            for predicted, price in prices.items():
                if not math.isfinite(price):
                    raise ValueError(f"costs.{actual}.{predicted} = {price} is no price")
        return costs

    @model_validator(mode="after")
    def _thresholds_of_figures(self) -> Model:
        if not self.thresholds:
            return self
        # Imported here: stages that read this configuration say what figures there are.
        from inferspan_collector.drift import passes
        from inferspan_collector.quality import names
        from inferspan_collector.quality.short_names import SHORT_NAMES

        drift, ours = passes.figures(), names() | set(SHORT_NAMES.values())
        # What a package measures has names of its own, known once it has measured.
        measured = bool(self.measures)
        for name in self.thresholds:
            column, _, figure = name.rpartition(".")
            if figure in drift and (not column or passes.is_column(column)):
                continue
            if not column and (name in ours or name in self.figures or measured):
                continue
            near = _nearest(figure, [*ours, *self.figures, *drift])
            meant = "." if near is None else f"; did you mean {near}?"
            raise ValueError(
                f"thresholds: {name} is no figure{meant} Write a figure (accuracy, mae), a drift "
                "figure (jensen_shannon), or one column's (feature.amount.jensen_shannon)"
            )
        return self

    def canonical(self, text: str | None) -> str | None:
        """The class that a spelling means: its alias, else itself; None stays None."""
        return None if text is None else self.class_aliases.get(text, text)


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """What an unknown name may mean: the shortest that it begins, else one spelt alike."""
    begun = [each for each in known if name and each.startswith(name)]
    near = sorted(begun, key=lambda each: (len(each), each)) or difflib.get_close_matches(
        name, known, 1
    )
    return near[0] if near else None
