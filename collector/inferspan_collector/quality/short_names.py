"""What errors are called where people speak of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SHORT_NAMES: Final[Mapping[str, str]] = {
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_percentage_error": "mape",
    "symmetric_mean_absolute_percentage_error": "smape",
    "weighted_absolute_percentage_error": "wape",
    "mean_squared_log_error": "msle",
    "root_mean_squared_log_error": "rmsle",
}
"""Long name → short one, shown beside it."""
