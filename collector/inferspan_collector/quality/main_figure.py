"""The one figure that a model is known by, wherever there is room for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

FIRST: Final = (
    "accuracy", "mean_absolute_error", "ndcg_at_10", "pass_rate", "score_mean", "jaccard",
)  # fmt: skip
"""It is the first of these that is known."""
FALLBACK: Final = FIRST[0]
"""What is shown, with the reason why it is not known, where none is."""


def main_figure(windows: Sequence[Mapping[str, Any]]) -> str | None:
    """The main figure of windows as the API writes them; None where none is known in any."""
    return next(
        (
            name
            for name in FIRST
            if any(window["metrics"].get(name, {}).get("value") is not None for window in windows)
        ),
        None,
    )
