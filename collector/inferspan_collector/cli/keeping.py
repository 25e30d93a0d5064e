"""`inferspan forget` and `inferspan backup`: asked of a running collector."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from inferspan.semconv import prediction_id_text
from inferspan_collector.cli.client import DEFAULT_API, Client, Refused, Unreachable, expect_success
from inferspan_collector.cli.exits import Exit, exit_codes, fail
from inferspan_collector.cli.printable import counted
from inferspan_collector.cli.tokens import TokenFileOption, TokenOption, presented

FORGET_HELP = """Erase what a collector holds of a prediction id: predictions, labels, what waits.

Counters stay, so figures do not change. The trace ids are printed: the same data may lie in your
trace store, where you delete it. A retry does not bring it back, for as long as labels may come.
To do it twice does no harm. Where INFERSPAN_ID_KEY is set, the id is sent as the SDK sent it.

Look first, erase nothing:

  inferspan forget --prediction-id order-17 --model fraud --dry-run

Example:

  inferspan forget --prediction-id order-17 --model fraud

  inferspan forget --entity customer-4711
"""
BACKUP_HELP = """Copy the store of a running collector into a directory of its machine.

Ingest goes on. The copy is one committed state; to restore it, start a collector on it.

Example:

  inferspan backup --to /var/backups/inferspan-2026-11-28
"""
BACKUP_SECONDS_MAX = 6 * 3600.0
_CODES = (Exit.OK, Exit.FAILED, Exit.USAGE, Exit.UNREACHABLE)
_Api = Annotated[
    str, typer.Option("--api", metavar="URL", envvar="INFERSPAN_API", help="The collector's API.")
]
_Json = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("forget", help=FORGET_HELP, epilog=exit_codes(*_CODES))(forget)
    app.command("backup", help=BACKUP_HELP, epilog=exit_codes(*_CODES))(backup)


def forget(
    prediction_id: Annotated[
        str | None, typer.Option(metavar="ID", help="A prediction's id, as it was sent.")
    ] = None,
    entity: Annotated[
        str | None, typer.Option(metavar="ID", help="Or an entity: all predictions that name it.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of this model only; else of every one."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is there; erase nothing.")
    ] = False,
    api: _Api = DEFAULT_API,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: _Json = False,
) -> None:
    """Forget an id, in as many requests as it takes."""
    if (prediction_id is None) == (entity is None):
        fail(Exit.USAGE, "give --prediction-id or --entity, one of the two")
    # As every command sends ids, and the SDK: under the key, where there is one.
    key = os.environ.get("INFERSPAN_ID_KEY", "").encode() or None
    ids = {"prediction_id": prediction_id, "entity_id": entity}
    sent = {name: prediction_id_text(text, key) for name, text in ids.items() if text is not None}
    asked = {**sent, "model": model, "dry_run": dry_run}
    total: dict[str, Any] = {"predictions": 0, "labels": 0, "trace_ids": [], "more": True}

    def ask(client: Client) -> None:
        while total["more"]:
            answer = _post(client, "/api/v1/forget", asked)
            for key in ("predictions", "labels", "trace_ids"):
                total[key] += answer[key]
            total["more"] = answer["more"] and not dry_run

    _asking(ask, api, presented(token, token_file))
    total["trace_ids"] = sorted(set(total["trace_ids"]))
    if as_json:
        del total["more"]
        typer.echo(json.dumps(total | {"dry_run": dry_run}))
        return
    done = "would be erased" if dry_run else "erased"
    held = [counted(total[f"{noun}s"], noun) for noun in ("prediction", "label")]
    typer.echo(f"{' and '.join(held)} {done}")
    if total["trace_ids"]:
        typer.echo("their traces, to be deleted in your trace store:")
    for trace_id in total["trace_ids"]:
        typer.echo(f"  {trace_id}")


def backup(
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="Absolute, on the collector's machine.")
    ],
    api: _Api = DEFAULT_API,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: _Json = False,
) -> None:
    """Write a backup."""
    answer: dict[str, Any] = {}

    def ask(client: Client) -> None:
        answer.update(_post(client, "/api/v1/backup", {"to": str(to)}))

    _asking(ask, api, presented(token, token_file), BACKUP_SECONDS_MAX)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    held = [counted(answer[f"{noun}s"], noun) for noun in ("prediction", "label", "byte")]
    typer.echo(f"{answer['path']}: {', '.join(held)}")


def _post(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    answer = client.request("POST", path, json.dumps(body).encode(), headers)
    document: dict[str, Any] = json.loads(expect_success(answer).body)
    return document


def _asking(
    ask: Callable[[Client], None], api: str, token: str | None, timeout: float = 60.0
) -> None:
    """Ask, or end with what keeps it from being answered."""
    try:
        with Client(api, timeout, token=token) as client:
            ask(client)
    except ValueError as error:
        fail(Exit.USAGE, str(error))
    except Unreachable as error:
        fail(Exit.UNREACHABLE, str(error))
    except Refused as error:
        fail(Exit.USAGE if error.status in (400, 401, 403) else Exit.FAILED, str(error))
