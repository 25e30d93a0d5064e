"""How the demo looks: whole at 80 columns, and plain lines where nobody draws tables."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from inferspan_collector.cli.demo.board import Accuracy, Board, Hospital, Mistake
from inferspan_collector.cli.demo.names import HOSPITALS
from inferspan_collector.cli.demo.view import LinesView, LiveView

BOARD = Board(
    tuple(
        Hospital(
            name,
            predictions=1_200,
            labelled=1_140,
            p50=0.0123,
            p95=0.1052,
            before=Accuracy(0.912, 0.88, 0.94, 380),
            now=Accuracy(1.0, 0.96, 1.0, 84),
        )
        for name in HOSPITALS
    ),
    (Mistake("4bf92f3577b34da6a3ce929d0e0e4736", HOSPITALS[0], "malignant", "benign"),),
    recent_minutes=7,
)


def plain() -> Console:
    return Console(file=io.StringIO(), width=80)


def written(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100])
def test_the_live_table_shows_every_column_whole(width: int) -> None:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, _environ={}
    )
    view = LiveView(console, None)
    view.show(BOARD, 12.0, 36.0)
    view.close()
    shown = "\n".join(written(console))
    assert "…" not in shown
    assert max(len(line) for line in written(console) if "\x1b" not in line) <= width
    for name in HOSPITALS:
        row = next(line for line in shown.splitlines() if line.lstrip().startswith(name))
        assert row.split() == [
            *(name, "1,140/1,200", "0", "12.3", "/", "105.2"),
            *("91.2%", "[88,", "94]", "100.0%", "[96,", "100]"),
        ]
    assert "last 7 min" in shown
    assert BOARD.mistakes[0].trace_id in shown


def test_elsewhere_a_line_is_a_line_and_says_what_its_figures_are_over() -> None:
    console = plain()
    view = LinesView(console)
    view.say("Three hospitals screen.", "long " * 60)
    view.show(BOARD, 6.0, 36.0)
    said, progress = written(console)
    assert said.endswith("long")
    assert len(said) > 300
    assert progress.startswith(
        "  6 s  3,600 predictions, 3,420 labelled · accuracy of the last 7 min of clinic, p95 from "
        "the start: Northgate 100.0% [96, 100] n=84, p95 105.2 ms · Riverside"
    )


def test_a_hospital_without_labels_has_no_figure_yet() -> None:
    console = plain()
    LinesView(console).show(Board(), 6.0, 36.0)
    assert "Northgate – n=0, p95 – · Riverside" in written(console)[0]
