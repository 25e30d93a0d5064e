"""Build the real servers that the tests run: `python tests/servers/build.py jaeger otelcol`.

Each is a Go module of ours with a committed go.sum, so that nothing but a Go module proxy is
needed and every byte is verified. A binary is built once per content of its module and kept in
`$INFERSPAN_CACHE` (default `$XDG_CACHE_HOME/inferspan`, `~/.cache/inferspan`). Standard library
only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
GO_VERSION_MIN = (1, 25)
_Known = TypeVar("_Known")


class BuildError(Exception):
    """A server cannot be built; the message is one line that names the remedy."""


@dataclass(frozen=True, slots=True)
class Server:
    """One buildable server: its Go module and the package that is its `main`."""

    name: str
    module: Path
    package: str
    minutes: int
    """About how long a first build takes on two cores, downloads included."""


SERVERS = {
    server.name: server
    for server in (
        Server(
            "jaeger",
            ROOT / "collector/jaeger/build",
            "github.com/jaegertracing/jaeger/cmd/jaeger",
            minutes=5,
        ),
        Server("otelcol", ROOT / "collector/otelcol/build", ".", minutes=3),
        *(
            Server(
                name,
                ROOT / "collector/alertmanager/build",
                f"github.com/prometheus/alertmanager/cmd/{name}",
                minutes=2,
            )
            for name in ("alertmanager", "amtool")
        ),
    )
}


def binary(server: Server, environ: Mapping[str, str] = os.environ) -> Path:
    """Where a server's binary is kept; its directory changes with whatever the build reads."""
    digest = hashlib.sha256()
    for source in sorted(server.module.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return home(environ) / f"{server.name}-{digest.hexdigest()[:16]}" / server.name


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Where real servers are kept between runs."""
    cache = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(environ.get("INFERSPAN_CACHE") or Path(cache) / "inferspan")


def find_go(environ: Mapping[str, str] = os.environ) -> str:
    """The `go` command.

    Raises:
        BuildError: there is none, or it is too old.
    """
    needed = ".".join(map(str, GO_VERSION_MIN))
    remedy = (
        f"install Go {needed} or newer (Debian: golang-go from backports; or https://go.dev/dl)"
    )
    go = shutil.which("go", path=environ.get("PATH"))
    if go is None:
        raise BuildError(f"the command `go` was not found: {remedy}")
    answer = subprocess.run(
        [go, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        env={**environ, "GOTOOLCHAIN": "local"},
    ).stdout.strip()
    version = re.match(r"go(\d+)\.(\d+)", answer)
    if version is None or tuple(map(int, version.groups())) < GO_VERSION_MIN:
        raise BuildError(f"{go} is {answer or 'of no known version'}: {remedy}")
    return go


def build(server: Server, environ: Mapping[str, str] = os.environ) -> Path:
    """Return a server's binary, building it where the cache has none.

    Raises:
        BuildError: no Go, or the compiler refused (its last lines are in the message).
    """
    target = binary(server, environ)
    if target.exists():
        return target
    go = find_go(environ)
    _say(f"building {server.name} (about {server.minutes} minutes the first time) ...")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / server.name
        command = [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(made), server.package]
        finished = subprocess.run(
            command,
            cwd=server.module,
            env=_environment(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            last = " | ".join(finished.stdout.strip().splitlines()[-3:])
            raise BuildError(f"building {server.name} failed: {last}")
        # A build that another process finished meanwhile is replaced by an equal one.
        made.replace(target)
    _say(f"built {target}")
    return target


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        **environ,
        # go.sum verifies every module; the checksum database may be out of reach.
        "GOSUMDB": "off",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def print_paths(
    description: str,
    known: Mapping[str, _Known],
    get: Callable[[_Known], Path],
    arguments: Sequence[str] | None = None,
) -> int:
    """Get what is named and print the paths; 1 where one is not to be had."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="+", choices=sorted(known))
    try:
        for name in parser.parse_args(arguments).names:
            print(get(known[name]), flush=True)
    except BuildError as error:
        _say(str(error))
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the servers named and print their paths; 1 where one cannot be built."""
    return print_paths("Build the real servers that the tests run.", SERVERS, build, arguments)


if __name__ == "__main__":
    sys.exit(main())
