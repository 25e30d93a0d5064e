"""How the demo looks: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from inferspan_collector.cli.demo.board import Accuracy, Board, Hospital

LINE_SECONDS = 5.0
"""Between two lines where there is no live table."""


class View(Protocol):
    """What the demo tells a person."""

    def say(self, what: str, why: str = "") -> None:
        """Tell what happens now, and why it matters."""

    def show(self, board: Board, elapsed: float, total: float) -> None:
        """Show the newest figures."""

    def close(self) -> None:
        """Leave the terminal as it was, what was said included."""


class LiveView:
    """A table that stays in place; what is said scrolls above it."""

    def __init__(self, console: Console, trace_url: str | None) -> None:
        self._console = console
        self._trace_url = trace_url
        self._live = Live(console=console, refresh_per_second=4, auto_refresh=False)
        self._live.start()

    def say(self, what: str, why: str = "") -> None:
        """Print above the table."""
        self._console.print(_said(what, why))

    def show(self, board: Board, elapsed: float, total: float) -> None:
        """Draw the table anew."""
        self._live.update(self._render(board, elapsed, total), refresh=True)

    def close(self) -> None:
        """Stop; the last table stays."""
        self._live.stop()

    def _render(self, board: Board, elapsed: float, total: float) -> RenderableType:
        title = (
            f"{min(elapsed, total):.0f} of {total:.0f} s · {board.predictions:,} predictions · "
            f"{board.labelled:,} labelled"
        )
        # Narrow enough for 80 columns: edges and outer padding are what can be spared.
        table = Table(
            title=title,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
        )
        name_width = max(len(hospital.name) for hospital in board.hospitals)
        table.add_column("hospital", no_wrap=True, min_width=name_width)
        now = f"accuracy\nlast {board.recent_minutes} min"
        for heading in ("labelled", "errors", "p50 / p95\nms", "accuracy\nbefore", now):
            table.add_column(heading, justify="right", no_wrap=True)
        for hospital in board.hospitals:
            table.add_row(
                hospital.name,
                f"{hospital.labelled:,}/{hospital.predictions:,}",
                Text(str(hospital.errors), "green" if hospital.errors == 0 else "red"),
                Text(f"{_number(hospital.p50)} / {_number(hospital.p95)}", "green"),
                percent(hospital.before),
                Text(percent(hospital.now), "bold red" if hospital.fell else ""),
            )
        return Group(table, self._mistakes(board))

    def _mistakes(self, board: Board) -> RenderableType:
        table = Table("newest mistakes", "said", "was", "trace", box=None, header_style="dim")
        for mistake in board.mistakes:
            trace = Text(mistake.trace_id)
            if self._trace_url:
                trace.stylize(f"link {self._trace_url}{mistake.trace_id}")
            table.add_row(mistake.hospital, mistake.predicted, mistake.expected, trace)
        return table


class LinesView:
    """One line now and then: for pipes, logs and CI."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = 0.0

    def say(self, what: str, why: str = "") -> None:
        """Print it."""
        write(self._console, _said(what, why))

    def show(self, board: Board, elapsed: float, total: float) -> None:
        """Print a line, at most every five seconds."""
        if elapsed - self._shown < LINE_SECONDS:
            return
        self._shown = elapsed
        now = " · ".join(_short(hospital) for hospital in board.hospitals)
        write(
            self._console,
            f"{elapsed:3.0f} s  {board.predictions:,} predictions, {board.labelled:,} labelled · "
            f"accuracy of the last {board.recent_minutes} min of clinic, p95 from the start: {now}",
        )

    def close(self) -> None:
        """Nothing is left to undo."""


def write(console: Console, what: RenderableType) -> None:
    """Print on a terminal within its width; elsewhere a line is a line and ends in no spaces."""
    if console.is_terminal:
        console.print(what, highlight=False)
        return
    with console.capture() as captured:
        console.print(what, highlight=False, soft_wrap=True)
    for line in captured.get().splitlines():
        console.out(line.rstrip(), highlight=False)


def percent(accuracy: Accuracy | None) -> str:
    """`63.1% [58, 68]`, the 95 % interval in brackets, or a dash."""
    if accuracy is None:
        return "–"
    return f"{accuracy.value:.1%} [{accuracy.low * 100:.0f}, {accuracy.high * 100:.0f}]"


def milliseconds(seconds: float | None) -> str:
    """`1.2 ms`, or a dash."""
    return "–" if seconds is None else f"{_number(seconds)} ms"


def _number(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.1f}"


def _short(hospital: Hospital) -> str:
    labelled = 0 if hospital.now is None else hospital.now.n
    accuracy = f"{percent(hospital.now)} n={labelled}"
    return f"{hospital.name} {accuracy}, p95 {milliseconds(hospital.p95)}"


def _said(what: str, why: str) -> Text:
    return Text.assemble(("▸ ", "bold cyan"), (what, "bold"), f" {why}" if why else "")
