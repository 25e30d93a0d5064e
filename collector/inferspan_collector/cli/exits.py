"""How commands end: documented exit codes, and one line on standard error."""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn

import typer


class Exit(IntEnum):
    """Exit codes of every command; `--help` shows those that a command uses."""

    OK = 0
    FAILED = 1
    """Done, but not everything: a record was refused, a figure differs."""
    USAGE = 2
    """A wrong argument, configuration or input file."""
    PORT_TAKEN = 3
    STORE_UNUSABLE = 4
    UNREACHABLE = 5
    """No collector answers."""
    STORE_CLOSED = UNREACHABLE
    """Of `serve`, which asks no other collector: it can run no longer and is to be started anew."""


def fail(code: Exit, message: str) -> NoReturn:
    """End the command with one clear line on standard error."""
    typer.echo(f"inferspan: {message}", err=True)
    raise typer.Exit(code)


def exit_codes(*codes: Exit, closed: str | None = None) -> str:
    """The epilog of a help text; `closed` says what `STORE_CLOSED` means where it is one."""
    meanings = [f"{code.value} {_MEANINGS[code]}" for code in codes]
    if closed is not None:
        meanings.append(f"{Exit.STORE_CLOSED.value} {closed}")
    return f"Exit codes: {', '.join(meanings)}."


_MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "done, but not everything: see the message",
    Exit.USAGE: "wrong argument, configuration or file",
    Exit.PORT_TAKEN: "a port is taken",
    Exit.STORE_UNUSABLE: "the data directory cannot be used",
    Exit.UNREACHABLE: "no collector answers",
}
