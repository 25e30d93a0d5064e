"""A report as one HTML file: no script, nothing loaded, light and dark, readable at 400 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from inferspan_collector.cli.report.sections import Cell, Section, sections_of, title_of

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8885;--bad:#b3261e;--band:#3b82f633;--est:#b45309}
@media(prefers-color-scheme:dark){:root{--bad:#ff8a80;--est:#fbbf24}}
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
div{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .7rem .2rem 0;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}th{font-weight:600}
.bad{color:var(--bad);font-weight:600}ul{padding-left:1.2rem;margin:.3rem 0}
svg{width:100%;height:auto;max-height:14rem}path{fill:none;stroke:currentColor;stroke-width:1.5}
path.band{fill:var(--band);stroke:none}path.est{stroke:var(--est);stroke-dasharray:4 3}
text{fill:currentColor;font-size:11px}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
WIDTH, HEIGHT, EDGE = 640, 180, 44


def written(report: Mapping[str, Any]) -> str:
    """The whole file. Every text of it is escaped."""
    title = escape(title_of(report))
    body = [f"<h1>{title}</h1>"]
    for section in sections_of(report):
        body.append(_section(section))
        if section.title == "Before the labels come":
            body.append(chart(report))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        f"{''.join(body)}</body></html>\n"
    )


def chart(report: Mapping[str, Any]) -> str:
    """The main figure over the windows, true with its band and estimated; "" of fewer than two."""
    rows = report["trend"]
    truth = [(row["truth"] or {}) for row in rows]
    estimated = [(row["estimated"] or {}).get("value") for row in rows]
    known = [
        value
        for value in [*estimated, *(each.get(key) for each in truth for key in ("value", "low"))]
        if value is not None
    ]
    known += [each["high"] for each in truth if each.get("high") is not None]
    if len(rows) < 2 or not known:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0

    def place(index: int, value: float) -> str:
        x = EDGE + (WIDTH - EDGE - 8) * index / (len(rows) - 1)
        return f"{x:.1f} {10 + (HEIGHT - 34) * (1 - (value - low) / span):.1f}"

    band = [
        (i, each["low"], each["high"])
        for i, each in enumerate(truth)
        if each.get("low") is not None and each.get("high") is not None
    ]
    outline = [place(i, top) for i, _, top in band]
    outline += [place(i, bottom) for i, bottom, _ in reversed(band)]
    name = escape(report["main"])
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name} over time, '
        f'true and estimated">'
        f'<path class="band" d="{_line(outline)}"/>'
        f'<path d="{_lines([each.get("value") for each in truth], place)}"/>'
        f'<path class="est" d="{_lines(estimated, place)}"/>'
        f'<text x="0" y="14">{high:.4g}</text><text x="0" y="{HEIGHT - 24}">{low:.4g}</text>'
        f'<text x="{EDGE}" y="{HEIGHT - 4}">{escape(rows[0]["start"])}</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 4}" text-anchor="end">'
        f"{name}: true ―, estimated - - -</text></svg>"
    )


def _line(points: Sequence[str]) -> str:
    return f"M{'L'.join(points)}" if points else ""


def _lines(values: Sequence[float | None], place: Any) -> str:
    """A line through the values, broken where there is none."""
    found, open_ = [], False
    for index, value in enumerate(values):
        if value is None:
            open_ = False
            continue
        found.append(f"{'L' if open_ else 'M'}{place(index, value)}")
        open_ = True
    return "".join(found)


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
