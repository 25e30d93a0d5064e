"""Numbers and times as people read them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, Final

from inferspan_collector.publish.parameters import rfc3339

SHARES: Final = frozenset(
    (
        "accuracy", "balanced_accuracy", "coverage", "precision", "recall", "specificity",
        "negative_predictive_value", "jaccard", "hamming_loss", "pass_rate", "hit_rate_at_1",
        "hit_rate_at_5", "hit_rate_at_10", "top_1_accuracy", "top_3_accuracy", "top_5_accuracy",
        "f1", "f2", "f0_5", "mean_absolute_percentage_error",
        "symmetric_mean_absolute_percentage_error", "weighted_absolute_percentage_error",
    )
)  # fmt: skip
"""Figures that are written in percent."""
NOTHING: Final = "–"


def label(name: str) -> str:
    """A figure's name as words."""
    return {"roc_auc": "ROC AUC", "f1": "F1", "r2_score": "R²"}.get(name, name.replace("_", " "))


def number(value: float | None, name: str = "") -> str:
    """A value of a figure: in percent where it is a share."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if name in SHARES:
        return f"{value * 100:.1f} %"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    text = f"{value:,.{3 if abs(value) < 10 else 2 if abs(value) < 100 else 1}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval(figure: dict[str, Any] | None, name: str) -> str:
    """`91.0–93.7 %`, empty where there is none."""
    if figure is None or figure.get("low") is None or figure.get("high") is None:
        return ""
    low, high = number(figure["low"], name), number(figure["high"], name)
    return f"{low.removesuffix(' %')} to {high}"


def difference(value: float | None, name: str) -> str:
    """A value less another one: of shares in points of a hundred."""
    if value is None or not math.isfinite(value):
        return NOTHING
    sign = "−" if value < 0 else "+" if value > 0 else ""
    return sign + number(abs(value), name).replace(" %", " points")


def count(n: float | None) -> str:
    """A whole number with its thousands apart."""
    return NOTHING if n is None else f"{n:,.0f}"


def counted(n: float, noun: str) -> str:
    """So many of a thing, `1 prediction`, `1,200 predictions`; `noun` takes an s."""
    return f"{count(n)} {noun}" if n == 1 else f"{count(n)} {noun}s"


def seconds(value: float | None) -> str:
    """A duration, from microseconds to days, with three digits."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    for least, unit, name in (
        (86_400 * 2, 86_400.0, "d"), (3_600 * 2, 3_600.0, "h"), (120, 60.0, "min"), (1, 1.0, "s"),
        (1e-3, 1e-3, "ms"), (0, 1e-6, "µs"),
    ):  # fmt: skip
        if abs(value) >= least:
            scaled = value / unit
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {name}"
    return NOTHING


def size(n: float | None) -> str:
    """Bytes, in the largest unit that leaves a digit before the point."""
    if n is None:
        return NOTHING
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if n >= unit:
            return f"{n / unit:.1f} {name}"
    return f"{n:.0f} B"


def moment(text: str | None) -> str:
    """An RFC 3339 time in UTC as `21 Nov 2026, 06:00`, seconds where there are some."""
    if not text:
        return NOTHING
    time = datetime.fromisoformat(text)
    seconds = f":{time:%S}" if time.second else ""
    return f"{time.day} {time:%b %Y, %H:%M}{seconds}"


def short(text: str | None) -> str:
    """As `moment`, without the year: for many of them below each other."""
    return moment(text).replace(f" {text[:4]},", "") if text else NOTHING


def moment_of(unix_ns: int) -> str:
    """As `moment`, of Unix ns, to the second."""
    return moment(rfc3339(unix_ns - unix_ns % 1_000_000_000))


def minute_of(text: str) -> float:
    """An RFC 3339 time as Unix minutes."""
    return datetime.fromisoformat(text).timestamp() / 60


def ago(then_ns: int, now_ns: int) -> str:
    """How long ago a time was, as `3 min ago`."""
    passed = timedelta(seconds=max(0, now_ns - then_ns) // 1_000_000_000)
    whole = int(passed.total_seconds())
    for least, unit, name in (
        (86_400 * 2, 86_400, "days"), (3_600 * 2, 3_600, "hours"), (120, 60, "min"), (5, 1, "s"),
    ):  # fmt: skip
        if whole >= least:
            return f"{whole // unit} {name} ago"
    return "just now"
