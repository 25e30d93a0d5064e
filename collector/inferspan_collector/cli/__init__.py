"""The command line: `serve | demo | labels | compare | baseline | report | doctor |
mappings | store | forget | backup | token`.
"""

from __future__ import annotations

import typer

from inferspan_collector import __version__
from inferspan_collector.cli import (
    baseline,
    compare,
    keeping,
    labels,
    mappings,
    serve,
    store,
    tokens,
)
from inferspan_collector.cli.demo import command as demo
from inferspan_collector.cli.doctor import command as doctor
from inferspan_collector.cli.report import command as report

app = typer.Typer(
    name="inferspan",
    help=(
        "Distributed tracing for model serving that ends in accuracy.\n\n"
        "See it work, in under a minute:  inferspan demo\n\n"
        "Run a collector:  inferspan serve"
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
serve.register(app)
demo.register(app)
tokens.register(app)
compare.register(app)
baseline.register(app)
report.register(app)
doctor.register(app)
keeping.register(app)
app.add_typer(labels.app, name="labels")
app.add_typer(mappings.app, name="mappings")
app.add_typer(store.app, name="store")


def main() -> None:
    """Run the command line; the process ends with the command's exit code."""
    app()


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"inferspan {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass
