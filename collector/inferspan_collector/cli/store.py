"""`inferspan store check | repair`: a data directory that no collector has open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inferspan_collector.cli.exits import Exit, exit_codes, fail

if TYPE_CHECKING:
    from inferspan_collector.store.repair import Condition, Repaired, Table

app = typer.Typer(
    help="Look at a data directory while no collector runs on it, and mend it.",
    no_args_is_help=True,
)

CHECK_HELP = """Read every byte of a data directory and say what is damaged. Changes nothing.

A torn tail of the log is no damage: it was never acknowledged, and the next start cuts it.

Example:

  inferspan store check --data ./inferspan-data
"""
REPAIR_HELP = """Make a damaged data directory usable again, at the price of what is damaged.

The log is cut at the damage; tables that cannot be read whole are written anew without the
pieces that cannot be read. What is cut or replaced is kept beside it. A backup loses less: look
for one first.

Example:

  inferspan store repair --data ./inferspan-data
"""
Data = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Data directory of a stopped collector.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")]
DEFAULT_DATA = Path("inferspan-data")


@app.command("check", help=CHECK_HELP, epilog=exit_codes(Exit.OK, Exit.FAILED, Exit.STORE_UNUSABLE))
def check(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Read everything; exit code 1 where something is damaged."""
    from inferspan_collector.store import repair
    from inferspan_collector.store.database import StoreError

    try:
        condition = repair.check(data)
    except StoreError as error:
        fail(Exit.STORE_UNUSABLE, str(error))
    typer.echo(json.dumps(_condition_json(condition)) if as_json else _condition_text(condition))
    if not condition.sound:
        raise typer.Exit(Exit.FAILED)


@app.command(
    "repair", help=REPAIR_HELP, epilog=exit_codes(Exit.OK, Exit.FAILED, Exit.STORE_UNUSABLE)
)
def repair(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Mend it; exit code 1 where something was lost."""
    from inferspan_collector.store import repair as mending
    from inferspan_collector.store.database import StoreError

    try:
        done = mending.repair(data)
    except StoreError as error:
        fail(Exit.STORE_UNUSABLE, str(error))
    typer.echo(json.dumps(_repaired_json(done)) if as_json else _repaired_text(done))
    if done.before is not None or done.journal is not None or any(c.lost for c in done.cuts):
        raise typer.Exit(Exit.FAILED)


def _condition_json(condition: Condition) -> dict[str, Any]:
    return {
        "path": str(condition.path),
        "sound": condition.sound,
        "format": condition.version or None,
        "fault": condition.fault,
        "logs": [
            {
                "path": str(path),
                "state": log.state,
                "bytes": log.length,
                "valid_bytes": log.valid,
                "transactions": log.transactions,
                "transactions_beyond": log.beyond,
            }
            for path, log in condition.logs.items()
        ],
        "tables": [_table_json(table) for table in condition.tables],
        "journal": [
            {
                "path": str(file.path),
                "records": file.records,
                "torn_bytes": file.torn,
                "fault": file.fault,
            }
            for file in condition.journal
        ],
        "set_aside": [
            {"path": str(file.path), "rows": file.rows, "fault": file.fault}
            for file in condition.set_aside
        ],
    }


def _condition_text(condition: Condition) -> str:
    lines = [f"{condition.path}: {'sound' if condition.sound else 'DAMAGED'}"]
    if condition.fault:
        lines.append(f"  cannot be opened: {condition.fault}; restore a backup")
    for path, log in condition.logs.items():
        if log.state == "torn":
            lines.append(
                f"  {path.name}: {log.length - log.valid} bytes at its end were never acknowledged;"
                " the next start cuts them, then check again"
            )
        elif log.state == "broken":
            lines.append(
                f"  {path.name}: damaged at byte {log.valid} of {log.length}, {log.transactions} "
                f"transactions before it and at least {log.beyond} behind it: restore a backup, or "
                "give the latter up with `inferspan store repair`"
            )
    for file in condition.journal:
        if file.fault:
            lines.append(
                f"  journal/{file.path.name}: {file.fault}: restore a backup, or save what "
                "can be read with `inferspan store repair`"
            )
        elif file.torn:
            lines.append(
                f"  journal/{file.path.name}: {file.torn} bytes at its end were never acknowledged"
            )
    for kept in condition.set_aside:
        lines.append(
            f"  journal/{kept.path.name}: {kept.fault or f'{kept.rows} rows'}, acknowledged, that "
            "the store could not take; the log of that time says why, please report it"
        )
    lines += [_table_text(table) for table in condition.tables if table.unreadable]
    rows = sum(table.rows for table in condition.tables)
    if condition.tables:
        lines.append(f"  {rows} rows in {len(condition.tables)} tables, format {condition.version}")
    return "\n".join(lines)


def _repaired_json(done: Repaired) -> dict[str, Any]:
    return {
        "cuts": [
            {
                "path": str(cut.path),
                "kept_bytes": cut.kept_bytes,
                "cut_bytes": cut.cut_bytes,
                "tail": str(cut.tail),
                "lost_transactions": cut.lost,
            }
            for cut in done.cuts
        ],
        "before": None if done.before is None else str(done.before),
        "tables": [_table_json(table) for table in done.tables],
        "journal_records": done.journal,
    }


def _repaired_text(done: Repaired) -> str:
    lines = [
        f"{cut.path} was cut at byte {cut.kept_bytes}: "
        + (
            f"at least {cut.lost} transactions are lost"
            if cut.lost
            else "nothing acknowledged lost"
        )
        + f"; the rest is kept in {cut.tail}"
        for cut in done.cuts
    ]
    if done.journal is not None:
        lines.append(
            f"the journal was damaged; {done.journal} records of it could be read, which the next "
            "start takes over, and what was is kept beside it as ….before-repair"
        )
    if done.before is not None:
        lines.append(f"the file was written anew; the damaged one is kept as {done.before}")
        lines += [_table_text(table) for table in done.tables if table.unreadable]
    return "\n".join(lines or ["nothing needed mending"])


def _table_json(table: Table) -> dict[str, Any]:
    return {
        "table": table.name,
        "rows": table.rows,
        "unreadable_rows": table.unreadable,
        "fault": table.fault,
    }


def _table_text(table: Table) -> str:
    return f"  {table.name}: {table.unreadable} of {table.rows} rows cannot be read ({table.fault})"
