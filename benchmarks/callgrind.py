"""Counts what a process executes, under `valgrind --tool=callgrind`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence


def is_missing() -> bool:
    """Whether nothing can be counted here, which is then said."""
    missing = shutil.which("valgrind") is None
    if missing:
        print("valgrind is not installed, so no instructions are counted")
    return missing


def instructions(arguments: Sequence[str], environment: Mapping[str, str], *options: str) -> int:
    """What a process of Python executes; hashes of texts are the same in each.

    Args:
        arguments: the interpreter's.
        environment: the process's.
        options: callgrind's own.
    """
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *options]
    done = subprocess.run(
        [*command, sys.executable, *arguments],
        env={**environment, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None or found[1] == "0":
        raise SystemExit(f"nothing was counted of {arguments}:\n{done.stderr[-2_000:]}")
    return int(found[1])
