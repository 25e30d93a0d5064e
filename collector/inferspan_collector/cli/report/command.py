"""The command `inferspan report`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from inferspan_collector.cli.client import DEFAULT_API, Client, Refused, Unreachable
from inferspan_collector.cli.exits import Exit, fail
from inferspan_collector.cli.report.gathering import LENGTHS, gathered
from inferspan_collector.cli.tokens import TokenFileOption, TokenOption, presented

HELP = """Report on a model: what to expect of it, what became true, its figures, versions, drift.

The estimate stands beside the truth and before it, for labels come late. Every figure has its 95 %
interval and how many predictions it rests on. What is outside of its thresholds is marked, and
listed first.

Example:

  inferspan report fraud

One file to send to somebody, a comment for a pull request, the same for a program:

  inferspan report fraud --html fraud.html

  inferspan report fraud --version 7 --markdown > comment.md

  inferspan report fraud --json | jq '.alerts'

In CI, end with 1 where something is outside of its thresholds:

  inferspan report fraud --from 2026-11-28T00:00:00Z --fail-on-alert
"""
EPILOG = (
    "Exit codes: 0 done, 1 with --fail-on-alert: something is outside of its thresholds, 2 wrong "
    "argument or unknown model, 5 no collector answers."
)
_Of = Annotated[str | None, typer.Option(metavar="NAME", help="Predictions of this one only.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report", help=HELP, epilog=EPILOG)(report)


def report(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="RFC 3339, or Unix seconds.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Its end.")] = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="LENGTH", help="Of a window: 1m, 5m, 1h or 1d; else as fits."),
    ] = None,
    version: _Of = None,
    environment: _Of = None,
    service: _Of = None,
    target: Annotated[str | None, typer.Option(metavar="NAME", help="Which truth.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one self-contained page.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="For a pull request.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
    fail_on_alert: Annotated[
        bool, typer.Option("--fail-on-alert", help="End with 1 where something alerts.")
    ] = False,
    api: Annotated[str, typer.Option("--api", metavar="URL", envvar="INFERSPAN_API")] = DEFAULT_API,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Report on a model."""
    if markdown and as_json:
        fail(Exit.USAGE, "--markdown and --json both write to standard output; give one of them")
    if every is not None and every not in LENGTHS:
        fail(Exit.USAGE, f"--every {every}: one of {', '.join(LENGTHS)}")
    asked = {"from": since, "to": until, "every": every, "target": target}
    asked |= {"environment": environment, "service": service, "version": version}
    try:
        with Client(api, token=presented(token, token_file)) as client:
            found = gathered(client, model, asked)
    except ValueError as error:
        fail(Exit.USAGE, str(error))
    except Refused as error:
        fail(Exit.USAGE, str(error))
    except Unreachable as error:
        fail(Exit.UNREACHABLE, str(error))
    if html is not None:
        _write(html, found)
    _print(found, markdown=markdown, as_json=as_json, quiet=html is not None)
    if fail_on_alert and found["alerts"]:
        fail(Exit.FAILED, f"{len(found['alerts'])} alerts; the first: {found['alerts'][0]}")


def _write(path: Path, found: dict[str, Any]) -> None:
    from inferspan_collector.cli.report import page

    # Beside it first, so that who reads it never sees half of it.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(page.written(found), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        fail(Exit.USAGE, f"--html {path} cannot be written: {error.strerror}")


def _print(found: dict[str, Any], *, markdown: bool, as_json: bool, quiet: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found))
    elif markdown:
        from inferspan_collector.cli.report import markdown as writer

        typer.echo(writer.written(found))
    elif not quiet:
        from inferspan_collector.cli.report import terminal

        terminal.show(found, terminal.opened())
