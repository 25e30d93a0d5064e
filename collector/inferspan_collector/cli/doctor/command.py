"""The command `inferspan doctor`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from inferspan_collector.cli.client import DEFAULT_API, Client
from inferspan_collector.cli.doctor.finding import WRONG, Finding
from inferspan_collector.cli.exits import Exit, fail
from inferspan_collector.cli.tokens import TokenFileOption, TokenOption, presented

HELP = """Find out what is wrong between a model and its accuracy.

Asks everything on the way: the SDK's exporter chain as this environment sets it, the gateway, the
collector, Jaeger and Prometheus; with a model, what each of its figures needs. One line each:
`ok`, `WRONG` with the value seen, the value expected and the fix, or `?` for what is not there and
need not be.

Example, on the machine of the model, in its environment:

  inferspan doctor fraud

Servers elsewhere; one that is named must answer:

  inferspan doctor --api http://inferspan:4319 --gateway http://gateway:8888/metrics \\
    --jaeger http://jaeger:16686 --prometheus http://prometheus:9090

Only what is wrong:

  inferspan doctor fraud --quiet
"""
EPILOG = "Exit codes: 0 nothing is wrong, 1 something is, 2 wrong argument."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", help=HELP, epilog=EPILOG)(doctor)


def doctor(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Its figures, too.")
    ] = None,
    api: Annotated[str, typer.Option("--api", metavar="URL", envvar="INFERSPAN_API")] = DEFAULT_API,
    gateway: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the gateway shows its metrics.")
    ] = None,
    jaeger: Annotated[str | None, typer.Option(metavar="URL", help="Jaeger's page.")] = None,
    prometheus: Annotated[str | None, typer.Option(metavar="URL", help="Its API.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only what is wrong.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Examine everything."""
    try:
        client = Client(api, token=presented(token, token_file))
    except ValueError as error:
        fail(Exit.USAGE, f"--api {error}")
    found = []
    with client:
        for finding in findings(client, model, gateway, jaeger, prometheus):
            found.append(finding)
            if not as_json and (finding.state == WRONG or not quiet):
                typer.echo(finding.line())
    if as_json:
        typer.echo(json.dumps([finding.json() for finding in found]))
    n = sum(finding.state == WRONG for finding in found)
    if n:
        fail(Exit.FAILED, f"{n} of {len(found)} are wrong; each says its fix")


def findings(
    client: Client,
    model: str | None,
    gateway: str | None,
    jaeger: str | None,
    prometheus: str | None,
) -> Iterator[Finding]:
    """Every part's, in the order of the way."""
    # Each asks with a library of its own, which other commands do without.
    from inferspan_collector.cli.doctor import collector, figures, sender
    from inferspan_collector.cli.doctor import gateway as gateways
    from inferspan_collector.cli.doctor import jaeger as jaegers
    from inferspan_collector.cli.doctor import prometheus as prometheuses

    yield from sender.examine(os.environ)
    yield from gateways.examine(gateway)
    yield from collector.examine(client, model)
    if model is not None:
        yield from figures.examine(client, model)
    yield from jaegers.examine(jaeger, client.api, int(time.time() * 1000))
    yield from prometheuses.examine(prometheus)
