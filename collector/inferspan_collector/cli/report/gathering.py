"""What a report holds, asked of a collector's API: plain JSON, which `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from inferspan_collector.cli.client import Client
from inferspan_collector.quality.main_figure import FALLBACK, main_figure

WINDOWS_MAX: Final = 60
"""Windows of the trend, as far as the lengths that there are allow it."""
LENGTHS: Final = {"1m": 1, "5m": 5, "1h": 60, "1d": 1440}
"""Minutes of each length of a window that the API knows."""
FIGURES: Final = (
    "accuracy", "balanced_accuracy", "precision", "recall", "f1", "specificity",
    "matthews_corrcoef", "roc_auc", "average_precision", "log_loss", "brier_score",
    "expected_calibration_error", "mean_absolute_error", "root_mean_squared_error",
    "mean_absolute_percentage_error", "r2_score", "bias",
)  # fmt: skip
"""Those that stand first, in this order."""


def gathered(client: Client, model: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a report says.

    Args:
        client: of the collector.
        model: its name.
        asked: from, to, target, environment, service, version of the API, and `every` of the
            trend, None = as the time asks for.

    Raises:
        Refused: the API does not know the model, or a parameter.
        Unreachable: there is no collector.
    """
    base = f"/api/v1/models/{quote(model, safe='')}"
    every = asked.get("every")
    about = {name: value for name, value in asked.items() if name != "every"}
    whole = client.get(f"{base}/quality", every="all", **about)
    windows = whole["windows"]
    now = windows[0] if windows else None
    every = every or _length(now)
    estimates = client.get(f"{base}/estimates", every="all", **about)
    parts = client.get(f"{base}/estimates", every=every, **about)
    drift = client.get(f"{base}/drift", every=every, **about)
    by_version = client.get(f"{base}/quality", every="all", by="version", **about)
    trend = client.get(f"{base}/quality", every=every, **about)
    untargeted = {name: value for name, value in about.items() if name != "target"}
    stages = client.get(f"{base}/stages", every="all", **untargeted)["windows"]
    main = main_figure(windows)
    main = main or next(iter(estimates["thresholds"] or _first(estimates)), FALLBACK)
    report = {
        "model": model,
        "target": whole["target"],
        "from": None if now is None else now["start"],
        "to": None if now is None else now["end"],
        "every": every,
        "main": main,
        "predictions": 0 if now is None else now["predictions"],
        "labeled": 0 if now is None else now["labeled"],
        "errors": 0 if now is None else now["errors"],
        "coverage": None if now is None else now["coverage"],
        "estimates": _estimates(estimates),
        "figures": _figures(now),
        "per_class": {} if now is None else now["per_class"],
        "confusion": None if now is None else now["confusion"],
        "latency": None if now is None else now["latency"],
        "stages": stages[0]["stages"] if stages else [],
        "versions": [_version(window, main) for window in by_version["windows"]],
        "trend": _trend(trend["windows"], parts["windows"], main),
        "drift": _drift(drift),
        "reference": estimates["reference"],
        "notes": list(
            dict.fromkeys([*whole["notes"], *estimates["notes"], *drift["notes"], *trend["notes"]])
        ),
    }
    return report | {"alerts": _alerts(report)}


def _first(estimates: Mapping[str, Any]) -> Mapping[str, Any]:
    windows = estimates["windows"]
    metrics: Mapping[str, Any] = windows[0]["metrics"] if windows else {}
    return metrics


def _length(window: Mapping[str, Any] | None) -> str:
    """The shortest length of which the time holds few enough windows."""
    if window is None:
        return "1h"
    start, end = (datetime.fromisoformat(window[name]) for name in ("start", "end"))
    minutes = (end - start).total_seconds() / 60
    return next((name for name, n in LENGTHS.items() if minutes / n <= WINDOWS_MAX), "1d")


def _estimates(answer: Mapping[str, Any]) -> dict[str, Any]:
    window = answer["windows"][0] if answer["windows"] else {}
    metrics = _first(answer)
    return {
        "method": answer["method"],
        "reason": answer["reason"],
        "label_lag": answer["label_lag"],
        "coverage": window.get("coverage"),
        "settled": window.get("settled"),
        "figures": {
            name: {**figure, **answer["thresholds"].get(name, {})}
            for name, figure in metrics.items()
        },
    }


def _figures(window: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those that have a value, the best known first."""
    known = {} if window is None else window["metrics"]
    names = [*(name for name in FIGURES if name in known), *sorted(set(known) - set(FIGURES))]
    return {name: known[name] for name in names}


def _version(window: Mapping[str, Any], main: str) -> dict[str, Any]:
    return {
        "version": window["group"]["version"],
        "predictions": window["predictions"],
        "labeled": window["labeled"],
        "coverage": window["coverage"],
        "figure": window["metrics"].get(main),
        "p95": window["latency"].get("p95"),
    }


def _trend(
    quality: list[dict[str, Any]], estimates: list[dict[str, Any]], main: str
) -> list[dict[str, Any]]:
    """The main figure in every window, what was expected of it beside what came true."""
    expected = {window["start"]: window for window in estimates}
    rows = []
    for window in quality:
        other = expected.get(window["start"], {})
        rows.append(
            {
                "start": window["start"],
                "predictions": window["predictions"],
                "coverage": window["coverage"],
                "settled": other.get("settled"),
                "truth": window["metrics"].get(main),
                "estimated": other.get("metrics", {}).get(main, {}).get("estimated"),
                "estimate_alert": other.get("metrics", {}).get(main, {}).get("alert", False),
            }
        )
    return rows


def _drift(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each column: its newest known value of each figure, and in how many windows it alerted.

    The newest window has often begun just now: what few rows say is not known, and hides nothing.
    """
    found = []
    for column, each in answer["columns"].items():
        figures = {}
        for name, course in each["figures"].items():
            values = course["values"]
            there = [place for place, value in enumerate(values) if value is not None]
            known = [place for place in there if course["known"][place]]
            newest = known[-1] if known else there[-1] if there else None
            figures[name] = {
                "value": None if newest is None else values[newest],
                "upper_threshold": course["upper_threshold"],
                "lower_threshold": course["lower_threshold"],
                "alerts": sum(course["alerts"]),
                "alert": newest is not None and course["alerts"][newest],
            }
        found.append(
            {
                "column": column,
                "kind": each["kind"],
                "windows": len(answer["windows"]),
                "figures": figures,
            }
        )
    return found


def _alerts(report: Mapping[str, Any]) -> list[str]:
    """One line per figure that is outside of its thresholds, what matters most first."""
    said = []
    for name, figure in report["estimates"]["figures"].items():
        if figure["alert"]:
            said.append(f"estimated {name} {_outside(figure['estimated']['value'], figure)}")
        gap = figure["gap"]
        if gap is not None and gap["significant"]:
            said.append(
                f"{name} is not what was expected: {gap['value']:+.4f}, p = {gap['p_value']:.2g}"
            )
    for row in report["trend"][-1:]:
        if row["estimate_alert"]:
            said.append(
                f"estimated {report['main']} of the newest window ({row['start']}): "
                f"{row['estimated']['value']:.4g}"
            )
    for name, figure in report["figures"].items():
        if figure.get("alert"):
            said.append(f"{name} {_outside(figure['value'], figure)}")
    for column in report["drift"]:
        figures = column["figures"]
        outside = [name for name, figure in figures.items() if figure["alert"]]
        if outside:
            first = f"{outside[0]} {_outside(figures[outside[0]]['value'], figures[outside[0]])}"
            agreed = f"{len(outside)} of {len(figures)} methods say so"
            said.append(f"{column['column']} drifts: {first}; {agreed}")
    return said


def _outside(value: float, limits: Mapping[str, Any]) -> str:
    low, high = limits.get("lower_threshold"), limits.get("upper_threshold")
    if low is not None and value < low:
        return f"{value:.4g} is below {low:.4g}"
    return f"{value:.4g} is above {high:.4g}" if high is not None else f"{value:.4g}"
