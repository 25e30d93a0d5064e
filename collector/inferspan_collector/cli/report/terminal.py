"""A report as tables of rich."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inferspan_collector.cli.report.sections import Cell, Section, sections_of, title_of

WIDTH_WITHOUT_EDGE: Final = 10_000


def opened() -> Console:
    """Standard output; where it is no terminal it has no edge, and no line is broken."""
    found = Console()
    return found if found.is_terminal else Console(width=WIDTH_WITHOUT_EDGE)


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print it. Names are shown as texts: none of them is markup."""
    console.print(Text(title_of(report), style="bold"))
    for section in sections_of(report):
        console.print()
        console.print(Text(section.title, style="bold"))
        for line in section.lines:
            console.print(Text(line, style="red" if line.startswith("ALERT") else ""))
        if section.rows:
            console.print(_table(section))


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(section.columns):
        table.add_column(column, justify="left" if place == 0 else "right", overflow="fold")
    for row in section.rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def _text(cell: Cell) -> Text:
    return Text(f"{cell.text} !" if cell.alert else cell.text, style="red" if cell.alert else "")
