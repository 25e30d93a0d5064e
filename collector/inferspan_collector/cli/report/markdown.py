"""A report as Markdown, for a pull request: tables of GitHub's kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from inferspan_collector.cli.report.sections import Cell, sections_of, title_of

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>|#~!@$&])")


def written(report: Mapping[str, Any]) -> str:
    """The report. Names say nothing in Markdown: no links, no mentions, no HTML."""
    lines = [f"## {escaped(title_of(report))}", ""]
    for section in sections_of(report):
        lines += [f"### {escaped(section.title)}", ""]
        lines += [*(f"- {escaped(line)}" for line in section.lines), ""]
        if section.rows:
            lines.append(_row([escaped(column) for column in section.columns]))
            lines.append(_row([":--", *["--:"] * (len(section.columns) - 1)]))
            lines += [_row([_cell(cell) for cell in row]) for row in section.rows]
            lines.append("")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """A text as itself."""
    # A zero-width space, for a mention is one even behind a backslash.
    return _SPECIAL.sub(r"\\\1", text).replace("@", "@\u200b")


def _cell(cell: Cell) -> str:
    return f"**{escaped(cell.text)}**" if cell.alert else escaped(cell.text)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
