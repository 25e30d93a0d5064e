"""`inferspan token`, and how other commands come to the token that they present."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Annotated, Final

import typer

from inferspan_collector.cli.exits import Exit, exit_codes
from inferspan_collector.config.auth import HASH_PREFIX

ENVIRONMENT: Final = "INFERSPAN_TOKEN"
TOKEN_BYTES: Final = 32
"""256 bits of randomness: a plain SHA-256 of it can be kept, for nothing can be guessed."""
TOKEN_PREFIX: Final = "inferspan_"
"""So that scanners for secrets can know one."""

HELP = """Make a bearer token and its hash.

The token is shown once, here, and kept nowhere: give it to whoever sends or reads. The hash goes
into the collector's configuration, where it may be read by anybody.

Example:

  inferspan token

  INFERSPAN_TOKEN=inferspan_… inferspan labels push outcomes.csv --model fraud
"""

TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar=ENVIRONMENT,
        show_envvar=False,
        help=f"Bearer token. Others see arguments: rather {ENVIRONMENT}, or --token-file.",
        show_default=False,
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="Read the token from a file."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("token", help=HELP, epilog=exit_codes(Exit.OK))(make)


def make(
    as_json: Annotated[bool, typer.Option("--json", help="Token and hash as JSON.")] = False,
) -> None:
    """Print a new token and its hash."""
    token = new_token()
    if as_json:
        print(json.dumps({"token": token, "hash": hash_of(token)}))
        return
    typer.echo(
        f"""token, shown only now:

  {token}

its hash, for the collector's configuration:

auth:
  tokens:
    NAME:
      hash: {hash_of(token)}
      rights: [ingest]  # of ingest, labels, read, admin

senders of OTLP present it by

  OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20{token}"""
    )


def new_token() -> str:
    """A random token, 256 bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def hash_of(token: str) -> str:
    """A token's hash, as `auth.tokens.<name>.hash` has it."""
    return HASH_PREFIX + hashlib.sha256(token.encode()).hexdigest()


def presented(token: str | None, file: Path | None) -> str | None:
    """The token that a command presents; the file wins over the environment.

    Raises:
        ValueError: the file cannot be read, or what was given is no token.
    """
    if file is not None:
        if token is not None and token != os.environ.get(ENVIRONMENT):
            raise ValueError("--token and --token-file are given both; give one of them")
        try:
            token = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--token-file {file} cannot be read: {error}") from error
    if token is not None and (not token.isascii() or not token.isprintable() or " " in token):
        # Never shown: it may be a token but for a line break.
        raise ValueError("the token holds a blank or a character that no token has; check it")
    return token or None
