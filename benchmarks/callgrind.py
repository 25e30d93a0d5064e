"""Counts what a process executes, under `valgrind --tool=callgrind`."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SWITCH: Final = """
#include <valgrind/callgrind.h>
void on(void) { CALLGRIND_START_INSTRUMENTATION; }
void off(void) { CALLGRIND_STOP_INSTRUMENTATION; }
"""
OFF_AT_START: Final = "--instr-atstart=no"
"""Leaves off what counts until `counting`: imports take seconds then, not minutes."""


def is_missing() -> bool:
    """Whether nothing can be counted here, which is then said."""
    missing = shutil.which("valgrind") is None
    if missing:
        print("valgrind is not installed, so no instructions are counted")
    return missing


def build_switch(directory: Path) -> Path | None:
    """Compile what turns counting on and off; None, which is said, where there is no compiler."""
    built = directory / "switch.so"
    compiler = shutil.which("cc")
    if compiler is None:
        print("no C compiler (cc) is installed, so no instructions are counted")
        return None
    command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(built)]
    subprocess.run(command, input=_SWITCH, text=True, check=True)
    return built


@contextmanager
def counting(switch: Path) -> Iterator[None]:
    """Count what this thread executes within, under `OFF_AT_START`."""
    library = ctypes.CDLL(str(switch))
    library.on()
    yield
    library.off()


def instructions(arguments: Sequence[str], environment: Mapping[str, str], *options: str) -> int:
    """What a process of Python executes; hashes of texts are the same in each.

    Args:
        arguments: the interpreter's.
        environment: the process's.
        options: callgrind's own.
    """
    counts, _ = instructions_by_process(arguments, environment, *options)
    return sum(counts.values())


def instructions_by_process(
    arguments: Sequence[str], environment: Mapping[str, str], *options: str, timeout_s: int = 600
) -> tuple[dict[int, int], str]:
    """What a process of Python and each of its forked children execute.

    Args:
        arguments: the interpreter's.
        environment: the process's.
        options: callgrind's own.
        timeout_s: how long it may take.

    Returns:
        Process id → instructions of those that counted any, and what was printed.
    """
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *options]
    done = subprocess.run(
        [*command, sys.executable, *arguments],
        env={**environment, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    found = re.findall(r"==(\d+)== Collected : (\d+)", done.stderr)
    counts = {int(process): int(count) for process, count in found if count != "0"}
    if done.returncode or not counts:
        raise SystemExit(f"nothing was counted of {arguments}:\n{done.stderr[-2_000:]}")
    return counts, done.stdout
