"""A gathered report → titles and tables, the same for every way of writing them down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inferspan_collector.cli.printable import counted, printable

CLASSES_SHOWN: Final = 20
DRIFT_SHOWN: Final = ("jensen_shannon", "population_stability", "missing")
TREND_SHOWN: Final = 24
STAGES_SHOWN: Final = 20
NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text; `alert` = it is outside of its thresholds."""

    text: str
    alert: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A title, lines below it, and a table; either may be empty. Numbers stand right."""

    title: str
    lines: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()


def title_of(report: Mapping[str, Any]) -> str:
    """What the report is about."""
    return f"{printable(report['model'])} ({printable(report['target'])})"


def sections_of(report: Mapping[str, Any]) -> list[Section]:
    """What stands in it: estimate beside truth first."""
    found = [_overview(report), _estimates(report)]
    if report["figures"]:
        found.append(_figures(report))
    if len(report["versions"]) > 1:
        found.append(_versions(report))
    if report["per_class"]:
        found.append(_classes(report))
    found += [_trend(report), _drift(report)]
    if report["stages"]:
        found.append(_stages(report))
    return [section for section in found if section.lines or section.rows]


def _overview(report: Mapping[str, Any]) -> Section:
    coverage = _share(report["coverage"])
    lines = [
        f"{counted(report['predictions'], 'prediction')}, {report['labeled']:,} labelled (coverage "
        f"{coverage}), {report['errors']:,} raised"
        + (f"; {report['from']} to {report['to']}" if report["from"] else ""),
        _reference(report["reference"]),
    ]
    latency = report["latency"]
    if latency and latency.get("p50") is not None:
        shown = ", ".join(f"{name} {latency[name] * 1e3:.3g} ms" for name in ("p50", "p95", "p99"))
        lines.append(f"latency {shown}")
    lines += [f"ALERT {printable(each)}" for each in report["alerts"]]
    lines += [f"note: {printable(each)}" for each in report["notes"]]
    return Section("Overview", tuple(lines))


def _reference(reference: Mapping[str, Any]) -> str:
    predictions = counted(reference["predictions"], "prediction")
    rows = f"{predictions}, {reference['labeled']:,} labelled"
    baseline = reference.get("baseline")
    if baseline is None:
        return f"measured against {reference['source']} rows of the store: {rows}"
    told = {
        "version": baseline["version"],
        "data": baseline["data_version"],
        "code": baseline["code_version"],
        **baseline["parameters"],
    }
    more = ", ".join(f"{printable(k)} {printable(v)}" for k, v in told.items() if v is not None)
    return (
        f"measured against baseline {baseline['number']} ({printable(baseline['source'])}): {rows}"
        f"{'; ' + more if more else ''}"
    )


def _estimates(report: Mapping[str, Any]) -> Section:
    found = report["estimates"]
    lag = found["label_lag"]
    lines = []
    if found["reason"] is not None:
        lines.append(f"no estimates: {printable(found['reason'])}")
    if found["settled"] is not None:
        lines.append(f"settled {_share(found['settled'])}: so much of the truth should be there")
    if lag["p50"] is not None:
        lines.append(f"labels take {_time(lag['p50'])} (half), {_time(lag['p90'])} (nine in ten)")
    rows = []
    for name, figure in found["figures"].items():
        estimated, realized, gap = (figure[key] for key in ("estimated", "realized", "gap"))
        rows.append(
            (
                Cell(name),
                Cell(_number(estimated["value"]), figure["alert"]),
                Cell(_interval(estimated)),
                Cell(_number(realized["value"])),
                Cell(_interval(realized)),
                Cell(f"{realized['n']:,}"),
                Cell(
                    NOTHING if gap is None else f"{gap['value']:+.4f}",
                    gap is not None and bool(gap["significant"]),
                ),
            )
        )
    columns = ("figure", "estimated", "95 %", "true so far", "95 %", "n", "gap")
    return Section("Before the labels come", tuple(lines), columns, tuple(rows))


def _figures(report: Mapping[str, Any]) -> Section:
    baseline = report["reference"].get("baseline") or {"figures": {}, "cross_validation": {}}
    offline, folds = baseline["figures"], baseline["cross_validation"]
    known = {k: v for k, v in report["figures"].items() if v["value"] is not None}
    rows: list[tuple[Cell, ...]] = []
    for name, figure in known.items():
        validated = folds.get(name)
        rows.append(
            (
                Cell(printable(name)),
                Cell(_number(figure["value"]), bool(figure.get("alert"))),
                Cell(_interval(figure)),
                Cell(f"{figure['n']:,}" + ("" if figure.get("known", True) else " (too few)")),
                Cell(_number((offline.get(name) or {}).get("value"))),
                Cell(
                    NOTHING
                    if validated is None
                    else f"{validated['mean']:.4f} ± {validated['std']:.4f}"
                ),
            )
        )
    columns: tuple[str, ...] = ("figure", "value", "95 %", "n", "offline", "cross-validation")
    if not offline:
        columns, rows = columns[:4], [row[:4] for row in rows]
    return Section("Figures", (), columns, tuple(rows))


def _versions(report: Mapping[str, Any]) -> Section:
    rows = [
        (
            Cell(printable(each["version"] or "(none)")),
            Cell(f"{each['predictions']:,}"),
            Cell(_share(each["coverage"])),
            Cell(_number((each["figure"] or {}).get("value"))),
            Cell(_interval(each["figure"] or {})),
            Cell(NOTHING if each["p95"] is None else f"{each['p95'] * 1e3:.3g} ms"),
        )
        for each in report["versions"]
    ]
    columns = ("version", "predictions", "coverage", report["main"], "95 %", "p95")
    lines = (f"`inferspan compare {printable(report['model'])}` says which differences are real",)
    return Section("Versions", lines, columns, tuple(rows))


def _classes(report: Mapping[str, Any]) -> Section:
    classes = list(report["per_class"].items())
    shown = ("precision", "recall", "f1")
    rows = [
        (
            Cell(printable(name)),
            *(Cell(_number((table.get(figure) or {}).get("value"))) for figure in shown),
            Cell(f"{table.get('support', 0):,}"),
        )
        for name, table in classes[:CLASSES_SHOWN]
    ]
    left = len(classes) - CLASSES_SHOWN
    lines = (f"{left} more classes; --json has all",) if left > 0 else ()
    return Section("Classes", lines, ("class", *shown, "n"), tuple(rows))


def _trend(report: Mapping[str, Any]) -> Section:
    rows = [
        (
            Cell(row["start"]),
            Cell(f"{row['predictions']:,}"),
            Cell(_number((row["estimated"] or {}).get("value")), row["estimate_alert"]),
            Cell(
                _number((row["truth"] or {}).get("value")), bool((row["truth"] or {}).get("alert"))
            ),
            Cell(_interval(row["truth"] or {})),
            Cell(_share(row["coverage"])),
            Cell(_share(row["settled"])),
        )
        for row in report["trend"][-TREND_SHOWN:]
    ]
    columns = ("from", "predictions", "estimated", "true so far", "95 %", "coverage", "settled")
    title = f"{report['main']}, every {report['every']}"
    return Section(title, (), columns, tuple(rows))


def _drift(report: Mapping[str, Any]) -> Section:
    rows = []
    for column in report["drift"]:
        figures = column["figures"]
        outside = [name for name, figure in figures.items() if figure["alert"]]
        rows.append(
            (
                Cell(printable(column["column"])),
                *(
                    Cell(
                        _number((figures.get(name) or {}).get("value")),
                        bool((figures.get(name) or {}).get("alert")),
                    )
                    for name in DRIFT_SHOWN
                ),
                Cell(", ".join(outside) or NOTHING, bool(outside)),
            )
        )
    # What drifts stands first.
    rows.sort(key=lambda row: not row[-1].alert)
    columns = ("column", *DRIFT_SHOWN, "outside its thresholds")
    return Section("Drift, in the newest window", (), columns, tuple(rows))


def _stages(report: Mapping[str, Any]) -> Section:
    longest = sorted(report["stages"], key=lambda step: -step["n"] * step["mean"])
    rows = [
        (
            Cell(printable(step["stage"] or "(the call)")),
            Cell(step["phase"] or NOTHING),
            *(Cell(f"{step[name] * 1e3:.3g} ms") for name in ("p50", "p95", "p99", "mean")),
            Cell(f"{step['n']:,}"),
            Cell(_share(step["coverage"])),
        )
        for step in longest[:STAGES_SHOWN]
    ]
    lines = ["of recorded traces only; a stage may hold others"]
    if len(longest) > STAGES_SHOWN:
        lines.append(f"{len(longest) - STAGES_SHOWN} more; --json has all")
    columns = ("stage", "phase", "p50", "p95", "p99", "mean", "n", "coverage")
    return Section("Stages and phases", tuple(lines), columns, tuple(rows))


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.4e}"


def _interval(figure: Mapping[str, Any]) -> str:
    low, high = figure.get("low"), figure.get("high")
    return NOTHING if low is None or high is None else f"{_number(low)} … {_number(high)}"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f} %"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    units: Sequence[tuple[float, str]] = ((86_400, "d"), (3_600, "h"), (60, "min"))
    for length, unit in units:
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
