"""`inferspan compare`: one version against another, asked of a running collector."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from inferspan_collector.cli.client import DEFAULT_API, Client, Refused, Unreachable
from inferspan_collector.cli.exits import Exit, exit_codes, fail
from inferspan_collector.cli.tokens import TokenFileOption, TokenOption, presented

HELP = """Compare two versions, or variants, of a model: is a difference real, or chance?

Every figure of both, of counts, scores and numbers: their difference (b - a) with its 95 %
interval, and a p-value that is adjusted for all figures shown. Where both answered the same
requests, as champion and shadow do, only those decide. Left out, the only two versions there are.

Example:

  inferspan compare fraud --a 6 --b 7

  inferspan compare fraud --by variant --a champion --b shadow
"""
_CODES = (Exit.OK, Exit.USAGE, Exit.UNREACHABLE)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", help=HELP, epilog=exit_codes(*_CODES))(compare)


def compare(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    a: Annotated[str | None, typer.Option("--a", help="The one that is there.")] = None,
    b: Annotated[str | None, typer.Option("--b", help="The one that may replace it.")] = None,
    by: Annotated[str, typer.Option(metavar="KEY", help="version or variant.")] = "version",
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="RFC 3339, or Unix seconds.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Its end.")] = None,
    target: Annotated[str | None, typer.Option(metavar="NAME", help="Which truth.")] = None,
    environment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Predictions of this one only.")
    ] = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="Predictions of this one only.")
    ] = None,
    average: Annotated[
        str | None, typer.Option(metavar="KIND", help="binary, macro, micro or weighted.")
    ] = None,
    api: Annotated[str, typer.Option("--api", metavar="URL", envvar="INFERSPAN_API")] = DEFAULT_API,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The API's answer on standard output.")
    ] = False,
) -> None:
    """Compare two versions or variants."""
    path = f"/api/v1/models/{quote(model, safe='')}/compare"
    asked = {"a": a, "b": b, "by": by, "from": since, "to": until}
    asked |= {"environment": environment, "service": service}
    try:
        with Client(api, token=presented(token, token_file)) as client:
            answer = client.get(path, **asked, target=target, average=average)
    except ValueError as error:
        fail(Exit.USAGE, f"--api {error}")
    except Refused as error:
        fail(Exit.USAGE, str(error))
    except Unreachable as error:
        fail(Exit.UNREACHABLE, str(error))
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for line in lines(answer):
        typer.echo(line)


def lines(answer: dict[str, Any]) -> list[str]:
    """The answer as a table for people."""
    a, b = answer["a"], answer["b"]
    said = [
        f"{answer['model']}: {answer['by']} {a['name'] or '(none)'} against {b['name'] or '(none)'}"
        f" ({a['labeled']:,} and {b['labeled']:,} labelled predictions)",
        *(f"note: {note}" for note in answer["notes"]),
    ]
    if answer["shared"] is not None:
        said.append(f"both answered {answer['shared']['rows']:,} requests; only these decide")
    width = max((len(name) for name in answer["figures"]), default=6)
    header = f"{'figure':{width}}  {'a':>10}  {'b':>10}  {'b - a':>10}  95 % interval"
    said.append(f"{header}, p adjusted for all figures shown (test)")
    for name, figure in answer["figures"].items():
        difference = figure["difference"]
        if difference is None:
            continue
        said.append(
            f"{name:{width}}  {_number(figure['a']['value'])}  {_number(figure['b']['value'])}"
            f"  {_number(difference['value'])}  {_verdict(difference)}"
        )
    for side in ("a", "b"):
        said += _offline(side, answer[side].get("baseline"))
    missing = [name for name, figure in answer["figures"].items() if figure["difference"] is None]
    if missing:
        said.append(f"not comparable: {', '.join(missing)}; the API says why")
    return said


def _offline(side: str, baseline: dict[str, Any] | None) -> list[str]:
    """What the side's version gave on its file: the same figures that are compared live."""
    if baseline is None:
        return []
    folds = baseline["cross_validation"]
    shown = []
    for name, figure in baseline["figures"].items():
        if figure["value"] is not None:
            validated = folds.get(name)
            spread = f" (± {validated['std']:.4f} over folds)" if validated else ""
            shown.append(f"{name} {figure['value']:.4f}{spread}")
    return [f"{side} offline, {baseline['source']}: {', '.join(shown)}"]


def _number(value: float) -> str:
    return f"{value:>10.4f}" if abs(value) < 1e5 else f"{value:>10.3e}"


def _verdict(difference: dict[str, Any]) -> str:
    if difference["low"] is None:
        return "no interval is known"
    interval = f"{difference['low']:.4f} … {difference['high']:.4f}"
    if difference["adjusted_p_value"] is None:
        return interval
    called = "real" if difference["significant"] else "may be chance"
    return f"{interval}  p = {difference['adjusted_p_value']:.2g} ({difference['test']}): {called}"
