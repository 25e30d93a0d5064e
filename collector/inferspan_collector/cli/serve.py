"""`inferspan serve`: run a collector until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from inferspan_collector import config, failpoints, listening
from inferspan_collector.allocator import keep_freed_memory
from inferspan_collector.cli.exits import Exit, exit_codes, fail
from inferspan_collector.config import OFF, Config, ConfigError, split_address

if TYPE_CHECKING:
    from inferspan_collector.server import Addresses, Collector

HELP = """Run a collector: predictions and labels in, accuracy and latency out.

Listens on this machine only, unless the configuration says otherwise. When it is ready it prints
one line of JSON on standard output; logs go to standard error. Ctrl+C or SIGTERM drains what is
queued and stops; a second one stops at once, with 128 + its number. Nothing that was answered is
ever lost, even by kill -9. If the store closes itself, a full disk may do that, it ends with 5:
let whatever supervises it start it again.

Example:

  inferspan serve --data ./inferspan-data --jaeger http://127.0.0.1:14318
"""
OPTIONS = {"otlp_http": "--otlp-http", "otlp_grpc": "--otlp-grpc", "api": "--api"}
LogLevel = Literal["debug", "info", "warning", "error"]
YOUNG_OBJECTS: Final = 20_000
"""New objects until garbage is looked for among them. An answer of a day of minutes makes 75,000
and no cycle: at Python's 700 the look took 34 of 250 ms of CPU time, at this 6."""

SWITCH_SECONDS: Final = 0.0001
"""How long a thread that waits for Python's lock lets another go on with it. Three threads hand
each request to the next; at Python's 5 ms it could wait so long three times."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "serve",
        help=HELP,
        epilog=exit_codes(
            *(Exit.OK, Exit.USAGE, Exit.PORT_TAKEN, Exit.STORE_UNUSABLE),
            closed="the store has closed itself; start the collector again",
        ),
    )(serve)


def serve(
    config_file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Configuration, YAML.", show_default=False),
    ] = None,
    otlp_http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="OTLP/HTTP. Default 127.0.0.1:4318; port 0 = a free one; off."
        ),
    ] = None,
    otlp_grpc: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="OTLP/gRPC. Default 127.0.0.1:4317.")
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="API, labels, /metrics, Jaeger views. Default 127.0.0.1:4319."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Data directory. Default ./inferspan-data."),
    ] = None,
    jaeger: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Jaeger's OTLP/HTTP endpoint, for evaluation spans."),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="What is logged.")] = "info",
    as_json: Annotated[bool, typer.Option("--json", help="Logs as JSON, one per line.")] = False,
) -> None:
    """Run a collector until a signal; arguments win over the configuration file."""
    _log_to_stderr(log_level, as_json)
    overrides = {
        "receivers": {"otlp_http": otlp_http, "otlp_grpc": otlp_grpc, "api": api},
        "store": {"data": None if data is None else str(data)},
        "jaeger": {"otlp": jaeger},
    }
    try:
        settings = config.load(config_file, overrides)
        failpoints.arm(os.environ)
    except (ConfigError, failpoints.UnknownFailpoint) as error:
        fail(Exit.USAGE, str(error))
    _warn_of_tokens_in_the_clear(settings)
    keep_freed_memory()
    listening.allow_open_files()
    # Imported late: see `_run`. What can be done beside the other imports, first.
    from inferspan_collector import warming

    warming.begin()
    from inferspan_collector.http_server import new_event_loop

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run(settings))


def _warn_of_tokens_in_the_clear(settings: Config) -> None:
    if settings.auth.tokens and not settings.receivers.tls.certificate:
        for key, address in settings.receivers.public():
            logging.getLogger(__name__).warning(
                "receivers.%s = %s: tokens travel in the clear there, and whoever sees one can use "
                "it; configure receivers.tls, or let a proxy on this machine speak TLS",
                key,
                address,
            )


async def _run(settings: Config) -> None:
    # Imported late: the store and the servers take a second, and `--help` needs none of them.
    from inferspan_collector import warming
    from inferspan_collector.server import Collector

    collector = Collector(settings)
    started, stopping = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if not started.is_set():
            # It has answered nobody, and a compiler cannot be asked to end.
            warming.end()
            os._exit(Exit.OK)
        if stopping.is_set():
            # Asked twice: now. What was answered is on disk already.
            os._exit(128 + number)
        logging.getLogger(__name__).info("stopping: what is queued is written first")
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    sys.setswitchinterval(SWITCH_SECONDS)
    addresses = await _started(collector, settings)
    started.set()
    # What is there now stays: looking through it for garbage took some 4 % of what ingest costs.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    # Cancelled, and so called, by every stop too; the loop still runs then.
    collector.failure.add_done_callback(lambda _: loop.call_soon_threadsafe(stopping.set))
    try:
        print(json.dumps({"ready": True, **asdict(addresses)}), flush=True)
        await stopping.wait()
    finally:
        await collector.stop()
        # DuckDB's binding looks at the end whether its own has been freed, and says what has not.
        gc.unfreeze()
    if not collector.failure.cancelled():
        fail(
            Exit.STORE_CLOSED,
            f"the store in {settings.store.data} has closed itself: {collector.failure.result()}. "
            "What was answered was put on disk; see the log, look for a full disk, start it again",
        )


async def _started(collector: Collector, settings: Config) -> Addresses:
    """Start it, or end with what keeps it from starting; later errors are ours and keep a trace."""
    from inferspan_collector.server import PortsTaken
    from inferspan_collector.store.database import StoreError

    try:
        return await collector.start()
    except PortsTaken as error:
        command = _command_that_works(settings, error.taken)
        fail(Exit.PORT_TAKEN, f"{error}. Stop that, or run: {command}")
    except StoreError as error:
        fail(Exit.STORE_UNUSABLE, str(error))
    except OSError as error:
        fail(Exit.USAGE, str(error))


def _command_that_works(settings: Config, taken: Collection[str]) -> str:
    """The command line as it was given, with a free address for each one that is taken.

    And with another data directory, where what holds the ports holds that too.
    """
    addresses = {key: getattr(settings.receivers, key) for key in OPTIONS}
    ports = {split_address(text)[1] for text in addresses.values() if text != OFF}
    replaced: dict[str, str] = {}
    for key in taken:
        replaced[OPTIONS[key]] = free = listening.free_address(addresses[key], ports)
        ports.add(split_address(free)[1])
    if _in_use(settings.store.data):
        replaced["--data"] = f"{settings.store.data}-2"
    words = []
    arguments = iter(sys.argv[1:])
    for word in arguments:
        name, separator, _ = word.partition("=")
        if name not in replaced:
            words.append(word)
        elif not separator:
            next(arguments, None)
    for option, text in replaced.items():
        words += [option, text]
    return shlex.join(["inferspan", *words])


def _in_use(data: Path) -> bool:
    from inferspan_collector.store.lock import DirectoryInUse, DirectoryLock

    try:
        DirectoryLock.take(data).release()
    except DirectoryInUse:
        return True
    except OSError:
        # Not there yet, or not to be written in: the start itself says so.
        return False
    return False


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _log_to_stderr(level: LogLevel, as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonFormatter()
        if as_json
        else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    # At info uvicorn only repeats what we say ourselves.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
