"""`inferspan labels push | status`: the truth from a file, and what became of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from inferspan_collector import telemetry
from inferspan_collector.cli.client import DEFAULT_API, Client, Refused, Unreachable, expect_success
from inferspan_collector.cli.exits import Exit, exit_codes, fail
from inferspan_collector.cli.label_files import Columns, FileUnusable, Format, format_of, read
from inferspan_collector.cli.label_push import EXAMPLES_MAX, UNMATCHED, Failure, Tally, push
from inferspan_collector.cli.printable import counted, printable
from inferspan_collector.cli.tokens import TokenFileOption, TokenOption, presented

HELP = """Send labels from a file: CSV, TSV, NDJSON or Parquet.

Columns that no option names and that are no field of a label are not read. Pushing a file twice
changes nothing: a label's id is a hash of its row. Where INFERSPAN_ID_KEY is set, prediction ids
leave this machine as HMAC-SHA-256, as the SDK sends them. Rows without a truth yet are skipped.

Example:

  inferspan labels push outcomes.csv --model fraud --id-column order_id \\
    --actual-column is_fraud --time-column confirmed_at

Look first, store nothing:

  inferspan labels push outcomes.csv --model fraud --id-column order_id \\
    --actual-column is_fraud --dry-run
"""
STATUS_HELP = """Show how much of a model is labelled, and what became of the labels that came.

Example:

  inferspan labels status --model fraud
"""

MODELS_SHOWN_MAX = 20

app = typer.Typer(no_args_is_help=True, help="The truth that arrives later.")

_Api = Annotated[
    str, typer.Option("--api", metavar="URL", envvar="INFERSPAN_API", help="The collector's API.")
]
_Json = Annotated[bool, typer.Option("--json", help="The summary as JSON on standard output.")]


@app.command(
    "push",
    help=HELP,
    epilog=exit_codes(Exit.OK, Exit.FAILED, Exit.USAGE, Exit.UNREACHABLE),
)
def push_command(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The file; - = standard input.")],
    model: Annotated[str | None, typer.Option(help="Model of rows that name none.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of the prediction's id.")] = None,
    actual_column: Annotated[str | None, typer.Option(help="Column of the truth.")] = None,
    time_column: Annotated[
        str | None, typer.Option(help="Column of when the truth became known: RFC 3339.")
    ] = None,
    index_column: Annotated[
        str | None, typer.Option(help="Column of the row within a batch call with one id.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Which truth it is.")] = None,
    source: Annotated[str | None, typer.Option(help="Where it comes from, such as lab.")] = None,
    format: Annotated[
        Format | None, typer.Option(help="Where the file's name does not say it; - is ndjson.")
    ] = None,
    actual_type: Annotated[
        Literal["auto", "text", "number"],
        typer.Option(help="auto: plain decimal numbers are numbers, anything else is a class."),
    ] = "auto",
    assume_utc: Annotated[
        bool, typer.Option("--assume-utc", help="Times without an offset are UTC.")
    ] = False,
    failures: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write refused rows here: NDJSON of line and reason."),
    ] = None,
    api: _Api = DEFAULT_API,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would match; store nothing.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Push a file of labels."""
    named = (id_column, actual_column, time_column, index_column)
    constants = {"model": model, "target": target, "source": source}
    given = {field: text for field, text in constants.items() if text is not None}
    columns = Columns(*named, constants=given, actual_type=actual_type, assume_utc=assume_utc)
    try:
        with (
            Client(api, token=presented(token, token_file)) as client,
            _opened(file) as (stream, size),
            _failures_to(failures) as write_failure,
            _progress(stream, size, quiet=as_json) as advance,
        ):
            written = format_of(Path(file), format or ("ndjson" if file == "-" else None))
            tally = push(
                client,
                read(stream, written, columns, _id_key()),
                dry_run=dry_run,
                on_failure=write_failure,
                on_batch=lambda _rows: advance(),
                wait=threading.Event().wait,
            )
            held = _held_ids(client, model) if tally.unmatched_ids and model else []
            unknown = "" if held or not tally.unmatched_ids else _unknown(client, model)
            unsaid = tally.classes.unsaid(client, model) if dry_run and model else ""
    except (FileUnusable, ValueError) as error:
        fail(Exit.USAGE, f"{file}: {error}" if isinstance(error, FileUnusable) else str(error))
    except Unreachable as error:
        fail(Exit.UNREACHABLE, str(error))
    except Refused as error:
        fail(Exit.USAGE, f"the collector refuses: {error}")
    _summarise(tally, held, unknown, unsaid, dry_run=dry_run, as_json=as_json, failures=failures)
    raise typer.Exit(Exit.FAILED if tally.failed else Exit.OK)


@app.command(
    "status",
    help=STATUS_HELP,
    epilog=exit_codes(Exit.OK, Exit.USAGE, Exit.UNREACHABLE),
)
def status_command(
    model: Annotated[str, typer.Option(help="The model.")],
    target: Annotated[str | None, typer.Option(help="Which truth.")] = None,
    api: _Api = DEFAULT_API,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: _Json = False,
) -> None:
    """Show the state of a model's labels."""
    try:
        with Client(api, token=presented(token, token_file)) as client:
            windows = client.quality(model, every="all", target=target)
            results = _results(client)
    except ValueError as error:
        fail(Exit.USAGE, str(error))
    except Unreachable as error:
        fail(Exit.UNREACHABLE, str(error))
    except Refused as error:
        fail(Exit.USAGE, str(error))
    state = {
        "model": model,
        "target": target,
        "predictions": sum(window["predictions"] for window in windows),
        "errors": sum(window["errors"] for window in windows),
        "labeled": sum(window["labeled"] for window in windows),
        "results": results,
    }
    if as_json:
        print(json.dumps(state))
        return
    _show_status(state)


def _show_status(state: dict[str, Any]) -> None:
    # As coverage is counted: a call that raised said nothing that a label could judge.
    answered = max(state["predictions"] - state["errors"], state["labeled"])
    share = state["labeled"] / answered if answered else 0.0
    errors = state["errors"]
    raised = f"; {errors:,} more raised, and {'needs' if errors == 1 else 'need'} none"
    typer.echo(
        f"{printable(state['model'])}: {state['labeled']:,} of {answered:,} predictions are "
        f"labelled ({share:.1%}){raised if errors else ''}"
    )
    if not state["results"]:
        typer.echo("no label of any model has come since the collector started")
        return
    typer.echo("labels of all models since the collector started, by what became of them:")
    for word, n in state["results"].items():
        typer.echo(f"  {word:<12} {n:>10,}")


def _id_key() -> bytes | None:
    return os.environ.get("INFERSPAN_ID_KEY", "").encode() or None


def _held_ids(client: Client, model: str) -> list[str]:
    """A few prediction ids that the collector holds, to be seen beside those that match none."""
    with contextlib.suppress(Refused):
        rows = client.predictions(model, limit=EXAMPLES_MAX)
        return [str(row["prediction_id"]) for row in rows]
    return []


def _unknown(client: Client, model: str | None) -> str:
    """What to say of a model that has sent no prediction; empty where it has."""
    try:
        models = client.models()
    except Refused:
        # The token may send labels only; they are stored, whatever else may not be asked.
        return ""
    if model is None or model in models:
        return ""
    known = ", ".join(models[:MODELS_SHOWN_MAX]) or "none"
    return f"no model {model!r} has sent a prediction; models that have: {known}"


def _results(client: Client) -> dict[str, int]:
    """Labels by what became of them, from the collector's own counter."""
    text = expect_success(client.request("GET", "/metrics")).body.decode("utf-8")
    return {
        sample.labels["result"]: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{telemetry.LABELS.name}_total"
    }


@contextlib.contextmanager
def _opened(file: str) -> Generator[tuple[BinaryIO, int | None]]:
    """The file and its size in bytes, None where that is not known."""
    if file == "-":
        yield sys.stdin.buffer, None
        return
    try:
        with open(file, "rb") as stream:
            yield stream, os.fstat(stream.fileno()).st_size
    except OSError as error:
        if error.filename != file:
            raise
        raise FileUnusable(f"cannot read it: {error.strerror}") from None


@contextlib.contextmanager
def _failures_to(path: Path | None) -> Generator[Callable[[Failure], None]]:
    """Where refused rows go: the file, else the first few on standard error."""
    if path is not None:
        with path.open("w", encoding="utf-8") as file:
            yield lambda failure: print(json.dumps(asdict(failure)), file=file)
        return
    shown = itertools.count()

    def show(failure: Failure) -> None:
        number = next(shown)
        if number < EXAMPLES_MAX:
            typer.echo(f"line {failure.line}: {failure.reason}", err=True)
        elif number == EXAMPLES_MAX:
            typer.echo("… and more; --failures FILE keeps all of them", err=True)

    yield show


@contextlib.contextmanager
def _progress(stream: BinaryIO, size: int | None, *, quiet: bool) -> Generator[Callable[[], None]]:
    """A bar on standard error, moved by how much of the file was read."""
    console = Console(stderr=True)
    columns = (TextColumn("labels"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=quiet or not console.is_terminal
    ) as progress:
        task = progress.add_task("labels", total=size)

        def advance() -> None:
            if size is not None and not stream.closed:
                progress.update(task, completed=stream.tell())

        yield advance


def _summarise(
    tally: Tally,
    held: list[str],
    unknown: str,
    unsaid: str,
    *,
    dry_run: bool,
    as_json: bool,
    failures: Path | None,
) -> None:
    if as_json:
        summary: dict[str, Any] = {
            "dry_run": dry_run,
            "accepted": tally.accepted,
            "results": dict(tally.results),
            "failed": tally.failed,
            "without_truth": tally.without_truth,
            "unmatched_ids": tally.unmatched_ids,
            "held_ids": held,
        }
        print(json.dumps(summary | ({"classes": unsaid} if unsaid else {})))
        return
    words = ", ".join(f"{n:,} {word}" for word, n in tally.results.most_common()) or "none"
    verb = "would be accepted" if dry_run else "accepted"
    typer.echo(f"{counted(tally.accepted, 'label')} {verb}: {words}")
    if tally.without_truth:
        typer.echo(f"{counted(tally.without_truth, 'row')} without a truth so far, skipped")
    if tally.failed:
        kept = f"; {failures} says why" if failures else ""
        typer.echo(f"{counted(tally.failed, 'row')} refused{kept}")
    if tally.unmatched_ids:
        n = tally.results[UNMATCHED]
        typer.echo(
            f"{counted(n, 'label')} without a prediction so far, to join when it comes: "
            f"{', '.join(tally.unmatched_ids)}"
        )
        if held:
            typer.echo(f"ids that the collector holds look like: {', '.join(held)}")
        if unknown:
            typer.echo(unknown)
    if unsaid:
        typer.echo(unsaid)
