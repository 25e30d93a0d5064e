"""The gauges of figures that need rows, and the series of one model in the making."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from inferspan_collector.publish.metrics.families import GROUP, Labels
from inferspan_collector.publish.metrics.noticed import Noticed
from inferspan_collector.publish.metrics.slices import SLICE_SCORE, SLICED
from inferspan_collector.publish.metrics.windows import SCORE, TARGETED, Scored
from inferspan_collector.quality.figure import Figure

ESTIMATE: Final = (*TARGETED, "metric", "window")
DRIFT: Final = (*GROUP, "column", "method", "window")
BASELINE_OF: Final = ("model", "version", "target")
BASELINE: Final = (*BASELINE_OF, "metric", "average")
FOLDS: Final = (*BASELINE_OF, "metric")
BASELINE_INFO: Final = (*BASELINE_OF, "number", "source", "data_version", "code_version")
GAUGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "inferspan_quality_score_threshold_lower": ("Below it the figure alerts.", SCORE),
    "inferspan_quality_score_threshold_upper": ("Above it the figure alerts.", SCORE),
    "inferspan_quality_settled_ratio": (
        "Share of the labels that come in the end which should be there by now.",
        (*TARGETED, "window"),
    ),
    "inferspan_label_lag_seconds": (
        "How long a share of the labels takes at most.",
        (*TARGETED, "share", "window"),
    ),
    "inferspan_estimated_score": ("A figure to expect, without labels.", ESTIMATE),
    "inferspan_estimated_score_lower": ("Lower end of its 95 % interval.", ESTIMATE),
    "inferspan_estimated_score_upper": ("Upper end of its 95 % interval.", ESTIMATE),
    "inferspan_estimated_score_n": ("Rows that it rests on.", ESTIMATE),
    "inferspan_estimated_score_threshold_lower": ("Below it the estimate alerts.", ESTIMATE),
    "inferspan_estimated_score_threshold_upper": ("Above it the estimate alerts.", ESTIMATE),
    "inferspan_realized_score": ("What became true so far of what is estimated.", ESTIMATE),
    "inferspan_realized_score_lower": ("Lower end of its 95 % interval.", ESTIMATE),
    "inferspan_realized_score_upper": ("Upper end of its 95 % interval.", ESTIMATE),
    "inferspan_realized_score_n": ("Labelled rows that it rests on.", ESTIMATE),
    "inferspan_estimate_gap": ("What became true less what was expected.", ESTIMATE),
    "inferspan_estimate_gap_lower": ("Lower end of its 95 % interval.", ESTIMATE),
    "inferspan_estimate_gap_upper": ("Upper end of its 95 % interval.", ESTIMATE),
    "inferspan_estimate_gap_significant": ("1 where chance makes such a gap seldom.", ESTIMATE),
    "inferspan_drift_score": ("A figure of drift or of data quality.", DRIFT),
    "inferspan_drift_score_threshold_lower": ("Below it the column has drifted.", DRIFT),
    "inferspan_drift_score_threshold_upper": ("Above it the column has drifted.", DRIFT),
    "inferspan_drift_values": (
        "Values of the column in the window.",
        (*GROUP, "column", "window"),
    ),
    "inferspan_slice_predictions": ("Predictions of each slice in the window.", SLICED),
    "inferspan_slice_score": ("Quality within each slice, by prediction time.", SLICE_SCORE),
    "inferspan_slice_score_lower": ("Lower end of its 95 % interval.", SLICE_SCORE),
    "inferspan_slice_score_upper": ("Upper end of its 95 % interval.", SLICE_SCORE),
    "inferspan_slice_score_n": ("Rows that it rests on.", SLICE_SCORE),
    "inferspan_baseline_info": ("1; a baseline that is measured against.", BASELINE_INFO),
    "inferspan_baseline_score": ("An offline figure of the newest baseline.", BASELINE),
    "inferspan_baseline_score_lower": ("Lower end of its 95 % interval.", BASELINE),
    "inferspan_baseline_score_upper": ("Upper end of its 95 % interval.", BASELINE),
    "inferspan_baseline_score_n": ("Rows that it rests on.", BASELINE),
    "inferspan_baseline_cross_validation_mean": ("Mean of a figure over the folds.", FOLDS),
    "inferspan_baseline_cross_validation_std": ("Its standard deviation over the folds.", FOLDS),
    "inferspan_figures_timestamp_seconds": (
        "When the figures of rows were made (Unix time).",
        ("model",),
    ),
    "inferspan_figures_duration_seconds": ("How long that took.", ("model",)),
}


@dataclass(slots=True)
class Made:
    """The series of one model."""

    scores: list[Scored] = field(default_factory=list)
    weighed: list[Scored] = field(default_factory=list)
    """Figures of counts, of rows that do not all weigh one."""
    gauges: dict[str, dict[Labels, float]] = field(default_factory=lambda: defaultdict(dict))
    folded_slices: int = 0
    noticed: Noticed = field(default_factory=Noticed)

    def add(self, name: str, labels: Labels, value: float | None) -> None:
        """One sample; what is no number has none."""
        if value is not None and math.isfinite(value):
            self.gauges[name][labels] = float(value)

    def add_figure(self, name: str, labels: Labels, figure: Figure) -> None:
        """A figure, the ends of its interval, and what it rests on."""
        self.add(name, labels, figure.value)
        if figure.value is not None:
            self.add(f"{name}_lower", labels, figure.low)
            self.add(f"{name}_upper", labels, figure.high)
            self.add(f"{name}_n", labels, figure.n)
