"""A report as one HTML file: no script, nothing loaded, light and dark, readable at 400 pixels."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any, Final

from inferspan_collector.cli.report.sections import Cell, Section, sections_of, title_of
from inferspan_collector.drawing.lines import Frame, Line, Point, Role
from inferspan_collector.drawing.lines import chart as lines_chart
from inferspan_collector.drawing.markup import STYLESHEET

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8885;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--bad:#ff8a80}}
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
div{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .7rem .2rem 0;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}th{font-weight:600}
.bad{color:var(--bad);font-weight:600}ul{padding-left:1.2rem;margin:.3rem 0}
.plot{padding:0 16px 0 56px}.key{font-size:13px;margin:.3rem 0}
"""
_LINES: Final[tuple[tuple[Role, str, str], ...]] = (
    ("expected", "estimated", "expected"),
    ("main", "truth", "true"),
)
"""Colour, key of a row of the trend, and what it is called."""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def written(report: Mapping[str, Any]) -> str:
    """The whole file. Every text of it is escaped."""
    title = escape(title_of(report))
    style = STYLESHEET.read_text(encoding="utf-8") + _STYLE
    body = [f"<h1>{title}</h1>"]
    for section in sections_of(report):
        body.append(_section(section))
        if section.title == "Before the labels come":
            body.append(chart(report))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head><body>"
        f"{''.join(body)}</body></html>\n"
    )


def chart(report: Mapping[str, Any]) -> str:
    """The main figure over the windows, true with its band and estimated; "" of fewer than two."""
    rows = report["trend"]
    starts = [datetime.fromisoformat(row["start"]).timestamp() / 60 for row in rows]
    lines = [
        Line(role, [_point(x, row, key, said) for x, row in zip(starts, rows, strict=True)], said)
        for role, key, said in _LINES
    ]
    if len(rows) < 2 or not any(p.value is not None for line in lines for p in line.points):
        return ""
    name = report["main"]
    said = f"{name} over time, expected and true"
    drawn = lines_chart(said, lines, Frame(starts[0], starts[-1]))
    return (
        f'<p class="key">{escape(name)}: true as a line with its 95 % interval, expected dashed</p>'
        f'<div class="plot">{drawn}</div>'
    )


def _point(x: float, row: Mapping[str, Any], key: str, said: str) -> Point:
    figure = row[key] or {}
    value = figure.get("value")
    text = "" if value is None else f"{row['start']}: {said} {value:.4g}"
    return Point(x, value, figure.get("low"), figure.get("high"), text=text)


def _section(section: Section) -> str:
    items = "".join(
        f'<li class="bad">{escape(line)}</li>'
        if line.startswith("ALERT")
        else f"<li>{escape(line)}</li>"
        for line in section.lines
    )
    listed = f"<ul>{items}</ul>" if items else ""
    if not section.rows:
        return f"<h2>{escape(section.title)}</h2>{listed}"
    head = "".join(f"<th>{escape(column)}</th>" for column in section.columns)
    rows = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in section.rows)
    table = f"<div><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    return f"<h2>{escape(section.title)}</h2>{listed}{table}"


def _cell(cell: Cell) -> str:
    return (
        f'<td class="bad">{escape(cell.text)}</td>'
        if cell.alert
        else f"<td>{escape(cell.text)}</td>"
    )
