"""What a disk can do: be full, be read-only, belong to another, and forget what was not synced."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ledger import Ledger
from mortal import Mortal, mortal, ready
from rounds import SEED
from senders import OverHttp, Sender, run_all
from traffic import MODEL, requests
from truth import check

from waiting import wait_until

SENDERS = 3
PREDICTIONS = 200
SECONDS = 60.0
ROOM_BYTES = 30_000
"""What a file may hold while the disk is full: the empty store and some transactions."""
STORE_CLOSED = 5
"""The exit code of a collector whose store DuckDB has closed; it is to be started again."""
STORE_UNUSABLE = 4
LIBC = ctypes.CDLL(None)
CAP_DAC_OVERRIDE = 1
PR_CAPBSET_DROP = 24


def test_a_full_disk_sends_senders_away_and_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    ledger = Ledger()
    with mortal(tmp_path / "data", excused=(STORE_CLOSED,)) as collector:
        _limit_files(collector, ROOM_BYTES)
        senders = _senders(collector, ledger, rng, "full")

        def make_room() -> None:
            wait_until(lambda: min(s.unanswered for s in senders) > 3, SECONDS, "a full disk")
            # It may die of something else at that, and the next one finds no room either.
            os.kill(collector.pid, signal.SIGKILL)
            collector.steadily(lambda: ready(collector.api))
            tried = [sender.unanswered for sender in senders]
            wait_until(
                lambda: all(s.unanswered > n for s, n in zip(senders, tried, strict=True)), SECONDS
            )
            _limit_files(collector, resource.RLIM_INFINITY)

        run_all(senders, make_room)
        expected = ledger.rows("full")
        collector.steadily(lambda: check(collector.api, MODEL, expected, "full"))


def test_a_directory_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(0o555)
    try:
        ended = _serve(directory, preexec_fn=_without_rights_beyond_modes)
    finally:
        directory.chmod(0o755)

    assert ended.returncode == STORE_UNUSABLE
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert str(directory) in line
    assert list(directory.iterdir()) == []


def test_what_is_answered_after_the_directory_was_removed_is_in_the_new_one(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    lost, ledger = Ledger(), Ledger()
    data = tmp_path / "data"
    with mortal(data, excused=(STORE_CLOSED,)) as collector:
        run_all(_senders(collector, lost, rng, "removed"))
        # What it has open it can still write to, and nobody would ever read it.
        shutil.rmtree(data)
        run_all(_senders(collector, ledger, rng, "after"))
        assert collector.deaths == 1
        expected = ledger.rows("after")
        collector.steadily(lambda: check(collector.api, MODEL, expected, "after"))
        assert "removed or replaced while it was open" in collector.log.read_text()


def test_a_second_process_on_the_same_file_harms_nobody(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    ledger = Ledger()
    data = tmp_path / "data"
    with mortal(data) as collector:
        ended: list[subprocess.CompletedProcess[str]] = []
        run_all(
            _senders(collector, ledger, rng, "owned"),
            lambda: ended.extend(_serve(data) for _ in range(2)),
        )
        check(collector.api, MODEL, ledger.rows("owned"), "owned")
        assert collector.deaths == 0
    for second in ended:
        assert second.returncode == STORE_UNUSABLE
        (line,) = second.stderr.splitlines()
        assert f"{data}" in line
        assert str(collector.pid) in line


def _senders(collector: Mortal, ledger: Ledger, rng: random.Random, version: str) -> list[Sender]:
    return [
        Sender(
            OverHttp(collector.otlp_http, collector.api),
            requests(rng, version, f"s{number}", PREDICTIONS, time.time_ns()),
            ledger,
        )
        for number in range(SENDERS)
    ]


def _serve(
    directory: Path, preexec_fn: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Try to run another collector, to its end."""
    free = "127.0.0.1:0"
    return subprocess.run(
        [
            *(sys.executable, "-m", "inferspan_collector.cli", "serve", "--data", str(directory)),
            *("--otlp-http", free, "--otlp-grpc", free, "--api", free),
        ],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        preexec_fn=preexec_fn,
    )


def _without_rights_beyond_modes() -> None:
    """Give up what lets root write where a directory's mode says that nobody may."""
    # Of somebody who is not root it fails, and needs not succeed.
    LIBC.prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def _limit_files(collector: Mortal, size: int) -> None:
    """How large a file may become, of this process and of those after it, as on a full disk."""

    def limit(pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    collector.prepare(limit)
    limit(collector.pid)
