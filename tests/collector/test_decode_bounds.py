"""Compiled code checks no bounds of itself: nothing it does reaches past the end of a body."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("guarded_scan.py")
IN_THREADS = Path(__file__).with_name("scan_in_threads.py")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False
    )


def test_nothing_is_read_or_written_past_an_end() -> None:
    ended = run()
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 100  # records were taken, not only left


def test_the_guard_ends_whoever_reads_past_an_end() -> None:
    assert run("past").returncode == -signal.SIGSEGV


def test_threads_that_read_at_once_keep_the_memory_that_they_use() -> None:
    # One heap for all threads, so that what one gives back too early is another's at once.
    ended = subprocess.run(
        [sys.executable, IN_THREADS],
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
