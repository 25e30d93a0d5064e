"""`inferspan demo`: see the whole way once, in under a minute."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from inferspan_collector.cli.client import Client, Refused, Unreachable, expect_success
from inferspan_collector.cli.exits import Exit, exit_codes, fail

if TYPE_CHECKING:
    from inferspan_collector.cli.demo.direction import Outcome, Stage

HELP = """See a real model's accuracy fall while its latency and errors stay green.

Trains a scikit-learn model, serves it through inferspan's decorators, sends the truth late and
shuffled from a second process, lets one hospital's scanner rename its columns, estimates the
accuracy before a label confirms it, kills the collector, and compares every figure with
scikit-learn's own. It starts a collector of its own and leaves
nothing behind.

Example:

  inferspan demo

With a running Jaeger, whose OTLP/HTTP endpoint is port 14318:

  inferspan demo --jaeger http://127.0.0.1:14318
"""
ACTS = ("before", "changed", "fixed")
OTLP_PORT = 4318
JAEGER_UI_PORT = 16686
DIFFERENCES_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    codes = exit_codes(Exit.OK, Exit.FAILED, Exit.USAGE, Exit.UNREACHABLE)
    app.command("demo", help=HELP, epilog=codes)(demo)


def demo(
    seconds: Annotated[
        int, typer.Option(min=6, max=600, help="How long predictions are made.")
    ] = 36,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")] = 7,
    api: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use a running collector; it is not killed."),
    ] = None,
    otlp: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Its OTLP/HTTP endpoint. Default: --api's host, 4318."),
    ] = None,
    jaeger: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Jaeger's OTLP/HTTP endpoint: send everything there too."),
    ] = None,
    jaeger_ui: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Jaeger's page. Default: --jaeger's host, 16686."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the collector's data here. Default: nowhere."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The result as JSON on standard output.")
    ] = False,
) -> None:
    """Play the demo; exits 1 where a figure is not scikit-learn's, or the kill lost something."""
    if importlib.util.find_spec("sklearn") is None:
        fail(
            Exit.USAGE,
            "the demo trains a scikit-learn model: pip install 'inferspan-collector[demo]'",
        )
    # Imported late: scikit-learn takes a second, and it may be missing.
    from inferspan_collector.cli.demo.clinic import Plan
    from inferspan_collector.cli.demo.direction import Demo
    from inferspan_collector.cli.demo.processes import DemoFailed
    from inferspan_collector.cli.demo.view import LinesView, LiveView

    # With --json, standard output belongs to the result.
    console = Console(stderr=as_json)
    page = (jaeger_ui or _sibling(jaeger, JAEGER_UI_PORT)) if jaeger else None
    try:
        with _stage(api, otlp, jaeger, data, console.print) as stage:
            traces = f"{page}/trace/" if page else None
            view = LiveView(console, traces) if console.is_terminal else LinesView(console)
            with contextlib.closing(view):
                outcome = Demo(Plan(seconds, seed), stage, view).play()
    except Unreachable as error:
        fail(Exit.UNREACHABLE, str(error))
    except (DemoFailed, Refused) as error:
        fail(Exit.FAILED, f"the demo could not be played: {error}")
    except ValueError as error:
        fail(Exit.USAGE, str(error))
    _close(console, outcome, page, stage)
    if as_json:
        print(json.dumps(_summary(outcome)))
    raise typer.Exit(Exit.OK if _succeeded(outcome) else Exit.FAILED)


@contextlib.contextmanager
def _stage(
    api: str | None,
    otlp: str | None,
    jaeger: str | None,
    data: Path | None,
    say: Callable[[str], object],
) -> Generator[Stage]:
    from inferspan_collector.cli.demo.direction import Stage
    from inferspan_collector.cli.demo.processes import EmbeddedCollector

    run = secrets.token_hex(3)
    with tempfile.TemporaryDirectory(prefix="inferspan-demo-") as directory:
        logs = Path(directory)
        if api is not None:
            endpoint = otlp or _sibling(api, OTLP_PORT)
            _check_running(api, endpoint)
            yield Stage(endpoint, api, None, jaeger, logs, run, time.time_ns())
            return
        collector = EmbeddedCollector(data or logs / "data", jaeger, logs, say)
        try:
            collector.start()
            yield Stage(collector.otlp, collector.api, collector, jaeger, logs, run, time.time_ns())
        finally:
            collector.stop()


def _check_running(api: str, otlp: str) -> None:
    """Ask both ports for as little as they have, so that what is wrong is said before the play.

    Raises:
        Unreachable: one of them does not answer.
        Refused: one of them is not what it should be.
    """
    with Client(api) as client:
        client.get("/api/v1/models")
    with Client(otlp, option="--otlp") as client:
        headers = {"Content-Type": "application/x-protobuf"}
        expect_success(client.request("POST", "/v1/traces", b"", headers))


def _sibling(url: str, port: int) -> str:
    """Another port of the same host."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}"


def _succeeded(outcome: Outcome) -> bool:
    same = all(comparison.equal for comparison in outcome.comparisons)
    return same and outcome.survived_kill is not False


def _close(console: Console, outcome: Outcome, page: str | None, stage: Stage) -> None:
    """What happened, whether it is true, and where to look next."""
    from inferspan_collector.cli.demo.view import percent, write

    table = Table(
        "hospital",
        "before",
        "other names",
        "version 2",
        title="Accuracy, with its 95 % interval",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    for hospital, acts in sorted(outcome.acts.items()):
        table.add_row(hospital, *(percent(acts.get(act)) for act in ACTS))
    console.print()
    write(console, table)
    for line in _verdict(outcome):
        write(console, line)
    _point_onward(console, outcome, page, stage)


def _verdict(outcome: Outcome) -> list[str]:
    from inferspan_collector.cli.demo.verdict import different

    wrong, n = different(outcome.comparisons), len(outcome.comparisons)
    if wrong:
        lines = [f"[bold red]✗ {len(wrong)} of {n} figures differ from scikit-learn's[/]"]
        lines += [
            f"  {comparison.group}: {comparison.figure}: inferspan {comparison.ours}, "
            f"scikit-learn {comparison.theirs}"
            for comparison in wrong[:DIFFERENCES_SHOWN]
        ]
    else:
        lines = [
            f"[bold green]✓ all {n} figures equal scikit-learn's[/]: counts, confusion matrices, "
            "accuracy, precision, recall and F1 (binary, macro, micro, weighted); over all, per "
            "hospital, per version"
        ]
    if outcome.survived_kill is False:
        lines.append("[bold red]✗ the figures were not the same after kill -9[/]")
    elif outcome.survived_kill:
        lines.append("[bold green]✓ kill -9 lost nothing and counted nothing twice[/]")
    return lines


def _point_onward(console: Console, outcome: Outcome, page: str | None, stage: Stage) -> None:
    from inferspan_collector.cli.demo.names import MODEL, SERVICE

    lines = []
    if page:
        lines += [f"a mistake's trace: {page}/trace/{m.trace_id}" for m in outcome.board.mistakes]
    else:
        lines.append(f"the same in Jaeger: {_command()} demo --jaeger URL (docs/jaeger.md)")
    if stage.embedded is None:
        lines.append(f"figures per minute: {stage.api}/api/v1/models/{MODEL}/quality?every=1m")
    if page and stage.embedded is None:
        # Jaeger asks the collector for these, and an embedded one is gone by now.
        lines += [
            f"request rate, errors, latency: {page}/monitor?service={SERVICE}",
            f"1 − accuracy as error rate: {page}/monitor?service={SERVICE}-quality",
        ]
    lines += [
        "your own model: ten lines, docs/instrument.md",
        f"a collector that stays: {_command()} serve (docs/run-the-collector.md)",
    ]
    console.print("Where to look next:")
    for line in lines:
        console.print(f"  {line}", highlight=False, soft_wrap=True)


def _command() -> str:
    """What to type for this command: `make demo` runs one that is on no PATH."""
    called = sys.argv[0]
    found = shutil.which("inferspan")
    # As a module, or in a test, it is no command that could be typed.
    if Path(called).name != "inferspan" or (
        found and Path(found).resolve() == Path(called).resolve()
    ):
        return "inferspan"
    return shlex.quote(called)


def _summary(outcome: Outcome) -> dict[str, Any]:
    from inferspan_collector.cli.demo.verdict import different

    return {
        "ok": _succeeded(outcome),
        "predictions": outcome.board.predictions,
        "labelled": outcome.board.labelled,
        "figures": len(outcome.comparisons),
        "different": [asdict(comparison) for comparison in different(outcome.comparisons)],
        "survived_kill": outcome.survived_kill,
        "expected": None if outcome.expected is None else asdict(outcome.expected),
        "accuracy": {
            hospital: {act: None if a is None else asdict(a) for act, a in acts.items()}
            for hospital, acts in outcome.acts.items()
        },
        "mistakes": [asdict(mistake) for mistake in outcome.board.mistakes],
    }
