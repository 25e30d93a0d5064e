"""Panels and variables, as Grafana's JSON has them; a board is a list of rows of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]

PROMETHEUS: Json = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24
STAT_HEIGHT, HEIGHT = 4, 8
SELECTED = 'model="$model",environment=~"$environment",version=~"$version"'
OF_TARGET = f'{SELECTED},target="$target"'
IN_WINDOW = f'{OF_TARGET},window="$window"'


def query(expr: str, legend: str = "", *, exemplar: bool = False, instant: bool = False) -> Json:
    """One query; `exemplar` shows the traces behind it, `instant` asks for the newest value only."""
    asked: Json = {"datasource": PROMETHEUS, "expr": expr, "legendFormat": legend or "__auto"}
    if exemplar:
        asked["exemplar"] = True
    if instant:
        asked |= {"instant": True, "range": False, "format": "table"}
    return asked


def panel(
    kind: str, title: str, about: str, queries: Sequence[Json], unit: str, width: int, height: int
) -> Json:
    """A panel that has no place yet."""
    letters = "ABCDEFGHIJ"
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": PROMETHEUS,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit} if unit else {}, "overrides": []},
        "targets": [{"refId": letters[n], **each} for n, each in enumerate(queries)],
    }


def stat(
    title: str, about: str, expr: str, unit: str = "", *, legend: str = "", width: int = 4,
    bounds: Sequence[tuple[float | None, str]] = (),
) -> Json:  # fmt: skip
    """One number a series. `bounds`: from which value on (None = from the least) which colour."""
    made = panel("stat", title, about, [query(expr, legend)], unit, width, STAT_HEIGHT)
    if bounds:
        made["fieldConfig"]["defaults"]["thresholds"] = {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in bounds],
        }
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
        "colorMode": "value" if bounds else "none",
        "graphMode": "area",
    }
    return made


def lines(
    title: str, about: str, queries: Sequence[Json], unit: str, *, width: int = 12,
    stacked: bool = False, least: float | None = None, most: float | None = None,
) -> Json:  # fmt: skip
    """Lines over time; those whose name ends in `low`, `high` or `limit` are dashed."""
    made = panel("timeseries", title, about, queries, unit, width, HEIGHT)
    custom: Json = {"lineWidth": 2, "fillOpacity": 20 if stacked else 0, "showPoints": "never"}
    if stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    made["fieldConfig"]["defaults"] |= {"color": {"mode": "palette-classic"}, "custom": custom}
    made["fieldConfig"]["defaults"] |= {} if least is None else {"min": least}
    made["fieldConfig"]["defaults"] |= {} if most is None else {"max": most}
    dashed = {"fill": "dash", "dash": [4, 4]}
    made["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byRegexp", "options": "/ (low|high|limit)$/"},
            "properties": [
                {"id": "custom.lineStyle", "value": dashed},
                {"id": "custom.lineWidth", "value": 1},
            ],
        }
    ]
    made["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return made


def band(name: str, selector: str, legend: str) -> list[Json]:
    """A figure with both ends of its 95 % interval; `name` of its gauge."""
    return [
        query(f"{name}{{{selector}}}", legend),
        query(f"{name}_lower{{{selector}}}", f"{legend} low"),
        query(f"{name}_upper{{{selector}}}", f"{legend} high"),
    ]


def heat(title: str, about: str, expr: str, unit: str, *, width: int = 12) -> Json:
    """A heat map of a histogram's buckets, with the traces behind them."""
    asked = {**query(expr, "{{le}}", exemplar=True), "format": "heatmap"}
    made = panel("heatmap", title, about, [asked], "", width, HEIGHT)
    made["options"] = {
        "calculate": False,
        "yAxis": {"unit": unit},
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
    }
    return made


def table(
    title: str, about: str, columns: Iterable[tuple[str, str, str]], *, hidden: Sequence[str] = (),
    width: int = 12,
) -> Json:  # fmt: skip
    """Newest values, one row for each combination of labels.

    `columns` are (heading, unit, query); `hidden` are labels that are not shown.
    """
    asked = list(columns)
    queries = [query(expr, heading, instant=True) for heading, _, expr in asked]
    made = panel("table", title, about, queries, "", width, HEIGHT)
    names = [f"Value #{each['refId']}" for each in made["targets"]]
    if len(asked) == 1:
        names = ["Value"]
    headings = dict(zip(names, (heading for heading, _, _ in asked), strict=True))
    made["transformations"] = [{"id": "merge", "options": {}}] if len(asked) > 1 else []
    made["transformations"].append(
        {
            "id": "organize",
            "options": {
                "excludeByName": dict.fromkeys(("Time", "__name__", *SCRAPE, *hidden), True),
                "renameByName": headings,
            },
        }
    )
    made["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": heading},
            "properties": [{"id": "unit", "value": unit}],
        }
        for heading, unit, _ in asked
        if unit
    ]
    return made


SCRAPE = ("instance", "job")
"""Labels that every scraped series has."""


def variable(name: str, label: str, values: str, *, several: bool = False) -> Json:
    """A choice from the values of a label: `values` is `label_values(metric, label)`."""
    made: Json = {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": PROMETHEUS,
        "query": {"query": values, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
    }
    if several:
        made |= {"allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return made


def choice(name: str, label: str, *values: str) -> Json:
    """A choice from given values, the first unless chosen."""
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ",".join(values),
        "current": {"text": values[0], "value": values[0]},
        "options": [
            {"text": value, "value": value, "selected": value == values[0]} for value in values
        ],
    }


MODEL = variable("model", "Model", "label_values(inferspan_predictions_total, model)")
ENVIRONMENT = variable(
    "environment", "Environment",
    'label_values(inferspan_predictions_total{model="$model"}, environment)', several=True,
)  # fmt: skip
VERSION = variable(
    "version", "Version", 'label_values(inferspan_predictions_total{model="$model"}, version)',
    several=True,
)  # fmt: skip
TARGET = variable(
    "target", "Truth", 'label_values(inferspan_evaluations_total{model="$model"}, target)'
)


def board(
    uid: str, title: str, about: str, variables: Sequence[Json],
    rows: Sequence[tuple[str, Sequence[Json]]], *, since: str,
) -> Json:  # fmt: skip
    """Place the panels of titled rows from left to right and from top to bottom."""
    panels: list[Json] = []
    y = 0
    for heading, members in rows:
        bar = {"type": "row", "title": heading, "collapsed": False, "panels": []}
        panels.append({**bar, "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        y += 1
        x = tallest = 0
        for member in members:
            size = member["gridPos"]
            if x + size["w"] > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            panels.append({**member, "gridPos": {"x": x, "y": y, **size}})
            x, tallest = x + size["w"], max(tallest, size["h"])
        y += tallest
    others = {
        "type": "dashboards", "title": "inferspan", "tags": ["inferspan"], "asDropdown": False,
        "includeVars": True, "keepTime": True, "icon": "external link", "tooltip": "",
        "targetBlank": False, "url": "",
    }  # fmt: skip
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["inferspan"],
        "schemaVersion": 41,
        "editable": False,
        "timezone": "utc",
        "refresh": "15s",
        "time": {"from": since, "to": "now"},
        "links": [others],
        "templating": {"list": list(variables)},
        "panels": [{"id": number, **each} for number, each in enumerate(panels, start=1)],
    }
