"""Between which values a figure can lie, so that no axis and no learnt threshold goes beyond."""

from __future__ import annotations

from typing import Final

from inferspan_collector.quality.business import costs
from inferspan_collector.quality.measures import (
    class_scores,
    errors,
    evaluations,
    label_sets,
    rankings,
)
from inferspan_collector.quality.one_class import AVERAGED
from inferspan_collector.quality.short_names import SHORT_NAMES

Range = tuple[float | None, float | None]
"""Least and greatest value; None: none."""
WITHIN_ONE: Final = frozenset(
    (
        "accuracy",
        "balanced_accuracy",
        "coverage",
        "roc_auc",
        "average_precision",
        "expected_calibration_error",
        "pass_rate",
        *AVERAGED,
        *(f"top_{k}_accuracy" for k in class_scores.TOP),
        *label_sets.FIGURES,
        *rankings.FIGURES,
    )
)
"""Figures from 0 to 1."""
_ODD: Final[dict[str, Range]] = {
    "matthews_corrcoef": (-1.0, 1.0),
    "cohen_kappa": (-1.0, 1.0),
    "r2_score": (None, 1.0),
    # Of two classes no more than 1, summed over several up to 2.
    "brier_score": (0.0, 2.0),
    "symmetric_mean_absolute_percentage_error": (0.0, 2.0),
    **dict.fromkeys(
        ("bias", "score_mean", *costs.FIGURES, *errors.QUANTILES, *evaluations.QUANTILES),
        (None, None),
    ),
}
_LONG: Final = {short: long for long, short in SHORT_NAMES.items()}


def range_of(name: str) -> Range:
    """The range of a figure of ours, by its long name or its short one."""
    name = _LONG.get(name, name)
    if name in WITHIN_ONE:
        return 0.0, 1.0
    return _ODD.get(name, (0.0, None))
