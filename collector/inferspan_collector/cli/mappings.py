"""`inferspan mappings list | test`: which spans of others count, tried on a file of spans."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inferspan_collector import config
from inferspan_collector.cli.exits import Exit, exit_codes, fail
from inferspan_collector.cli.printable import counted
from inferspan_collector.config import ConfigError
from inferspan_collector.config.mappings import Mapping, ready_made_names

if TYPE_CHECKING:
    from inferspan_collector.decode.mapping.dry_run import SpanReport

app = typer.Typer(
    help="Rules by which spans of other SDKs and servers count.", no_args_is_help=True
)

TEST_HELP = """Say of each span of a file which mapping takes it and what is recorded, or why not.

The file holds OTLP/JSON: one export request, or one per line, as the file exporter of an
OpenTelemetry Collector writes them. Without a configuration all ready-made mappings are tried.
Nothing is stored.

Example:

  inferspan mappings test spans.json --config inferspan.yaml
"""
LIST_HELP = """List the ready-made mappings and which spans each takes.

Example:

  inferspan mappings list
"""


@app.command("list", help=LIST_HELP, epilog=exit_codes(Exit.OK))
def list_ready_made() -> None:
    """List the ready-made mappings."""
    for name in ready_made_names():
        for rule in Mapping.model_validate(name).rules():
            assert rule.match is not None
            match = rule.match.model_dump(exclude_defaults=True)
            kind = "predictions" if rule.prediction is not None else "labels"
            typer.echo(f"{rule.name}: {kind} of spans with {_in_words(match)}")


@app.command("test", help=TEST_HELP, epilog=exit_codes(Exit.OK, Exit.FAILED, Exit.USAGE))
def try_on_a_file(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="OTLP/JSON; - = standard input.")],
    config_file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Configuration, YAML.", show_default=False),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A ready-made mapping to try; may be given again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per span.")] = False,
) -> None:
    """Try mappings on a file; exit code 1 where a span was refused."""
    from inferspan_collector.decode.mapping import Mapper
    from inferspan_collector.decode.mapping.dry_run import dry_run
    from inferspan_collector.decode.wire import MalformedRequest, parse_traces

    mapper = Mapper(_mappings(config_file, mapping or []))
    reports: list[SpanReport] = []
    for place, body in _requests(file):
        try:
            request = parse_traces(body, json=True)
        except MalformedRequest as error:
            fail(Exit.USAGE, f"{place}: {error}")
        for report in dry_run(request, mapper, time.time_ns()):
            reports.append(report)
            typer.echo(json.dumps(asdict(report)) if as_json else _text(report))
    if not as_json:
        typer.echo(_summary(reports))
    if any(report.refused for report in reports):
        raise typer.Exit(Exit.FAILED)


def _mappings(config_file: Path | None, names: list[str]) -> tuple[Mapping, ...]:
    known = ready_made_names()
    for name in names:
        if name not in known:
            fail(
                Exit.USAGE, f"--mapping {name}: no ready-made mapping; there are {', '.join(known)}"
            )
    if config_file is None:
        names = names or known
    try:
        given = config.load(config_file).mappings
    except ConfigError as error:
        fail(Exit.USAGE, str(error))
    return (*given, *(Mapping.model_validate(name) for name in names))


def _requests(file: str) -> Iterator[tuple[str, bytes]]:
    """The requests of a file, each with its place for messages."""
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail(Exit.USAGE, f"cannot read {file}: {error.strerror}")
    try:
        json.loads(body)
    except ValueError:
        lines = body.splitlines()
    else:
        yield file, body
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{file}, line {number}", line


def _text(report: SpanReport) -> str:
    lines = [f"{report.name!r} ({report.kind}, scope {report.scope or 'without a name'})"]
    by = report.predicted_by or "its own words"
    lines += [f"  prediction by {by}: {_in_words(each)}" for each in report.predictions]
    by = report.labeled_by or "its own words"
    lines += [f"  label by {by}: {_in_words(each)}" for each in report.labels]
    lines += [f"  refused: {text}" for text in report.refused]
    if report.ignored:
        lines.append("  ignored:")
        lines += [f"    {name}: {reason}" for name, reason in report.why_not.items()]
    return "\n".join(lines)


def _in_words(facts: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {_in_words(value)}" if isinstance(value, dict) else f"{key} = {_short(value)}"
        for key, value in facts.items()
    )


def _short(value: object) -> str:
    if isinstance(value, list | tuple):
        return " or ".join(map(str, value))
    return str(value)


def _summary(reports: list[SpanReport]) -> str:
    predictions = sum(len(report.predictions) for report in reports)
    labels = sum(len(report.labels) for report in reports)
    refused = sum(len(report.refused) for report in reports)
    ignored = sum(report.ignored for report in reports)
    return (
        f"{counted(len(reports), 'span')}: {counted(predictions, 'prediction')}, "
        f"{counted(labels, 'label')}, {refused} refused, {ignored} ignored"
    )
