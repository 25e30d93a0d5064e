"""The demo's last act: every figure of the collector beside scikit-learn's own on the same rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from inferspan_collector.cli.client import Client
from inferspan_collector.cli.demo.names import HOSPITAL_SLICE, MODEL, POSITIVE

AVERAGES: Final = ("binary", "macro", "micro", "weighted")
RATIO_TOLERANCE: Final = 1e-12
_METRICS: Final[dict[str, Callable[..., float]]] = {
    "precision": precision_score,
    "recall": recall_score,
    "f1": f1_score,
}


@dataclass(frozen=True, slots=True)
class Served:
    """One prediction as the model server answered it, with the truth in the end, None = never."""

    hospital: str
    version: str
    predicted: str
    actual: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure from both sides."""

    group: str
    figure: str
    ours: Any
    theirs: Any

    @property
    def equal(self) -> bool:
        """Counts and matrices exactly, ratios to 1e-12, null where scikit-learn has NaN."""
        if isinstance(self.theirs, float):
            if self.ours is None or math.isnan(self.theirs):
                return self.ours is None and math.isnan(self.theirs)
            return bool(abs(self.ours - self.theirs) <= RATIO_TOLERANCE)
        return bool(self.ours == self.theirs)


def compare(client: Client, environment: str, served: Sequence[Served]) -> list[Comparison]:
    """Ask the collector for every figure and compute each once more with scikit-learn.

    Args:
        client: the collector's API.
        environment: holds this demo's predictions and nothing else.
        served: every prediction of the demo.

    Returns:
        One comparison per figure and group: all, per hospital, per version.
    """
    groups: list[tuple[str | None, Callable[[Served], str]]] = [
        (None, lambda _row: "all"),
        (HOSPITAL_SLICE, lambda row: row.hospital),
        ("version", lambda row: f"version {row.version}"),
    ]
    comparisons: list[Comparison] = []
    for key, name_of in groups:
        for average in AVERAGES:
            windows = client.quality(
                MODEL, every="all", by=key, average=average, environment=environment
            )
            found = {_name(window, key): window for window in windows}
            names = sorted({name_of(row) for row in served})
            if average == AVERAGES[0]:
                comparisons.append(Comparison(key or "all", "groups", sorted(found), names))
            for name in names:
                rows = [row for row in served if name_of(row) == name]
                window = found.get(name, {})
                if average == AVERAGES[0]:
                    comparisons += _counts(name, window, rows)
                comparisons += _averages(name, window, rows, average)
    return comparisons


def different(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Those in which the two sides are not equal."""
    return [comparison for comparison in comparisons if not comparison.equal]


def _name(window: dict[str, Any], key: str | None) -> str:
    if key is None:
        return "all"
    text = str(window["group"][key])
    return f"version {text}" if key == "version" else text


def _counts(name: str, window: dict[str, Any], rows: list[Served]) -> Iterator[Comparison]:
    actual, predicted = _labelled(rows)
    classes = sorted({*actual, *predicted})
    matrix = window.get("confusion", {})
    expected_matrix = confusion_matrix(actual, predicted, labels=classes).tolist()
    yield Comparison(name, "predictions", window.get("predictions"), len(rows))
    yield Comparison(name, "labelled", window.get("labeled"), len(actual))
    yield Comparison(name, "coverage", window.get("coverage"), len(actual) / len(rows))
    yield Comparison(name, "errors", window.get("errors"), 0)
    yield Comparison(name, "latencies", window.get("latency", {}).get("count"), len(rows))
    yield Comparison(name, "classes", matrix.get("classes"), classes)
    yield Comparison(name, "confusion", matrix.get("actual_by_predicted"), expected_matrix)
    accuracy = float(accuracy_score(actual, predicted))
    yield Comparison(name, "accuracy", _value(window, "accuracy"), accuracy)


def _averages(
    name: str, window: dict[str, Any], rows: list[Served], average: str
) -> Iterator[Comparison]:
    actual, predicted = _labelled(rows)
    # Zero division: null for one class, 0 inside an average over classes.
    zero_division = math.nan if average == "binary" else 0.0
    positive = {"pos_label": POSITIVE} if average == "binary" else {}
    for metric, function in _METRICS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pos_label and absent classes; we compare both
            theirs = function(
                actual, predicted, average=average, zero_division=zero_division, **positive
            )
        ours = _value(window, metric)
        yield Comparison(name, f"{metric} ({average})", ours, float(theirs))


def _value(window: dict[str, Any], metric: str) -> float | None:
    value: float | None = window.get("metrics", {}).get(metric, {}).get("value")
    return value


def _labelled(rows: list[Served]) -> tuple[list[str], list[str]]:
    pairs = [(row.actual, row.predicted) for row in rows if row.actual is not None]
    return [actual for actual, _ in pairs], [predicted for _, predicted in pairs]
