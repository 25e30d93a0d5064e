"""A power cut: of each log, what was on disk at an acknowledgement, and then anything.

There are two: the journal, which acknowledges, and the store's own, which is often behind it.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from in_process import Running, running
from ledger import Ledger
from rounds import ROUNDS, SEED
from senders import PATIENT_SECONDS, OverHttp, Sender, run_all
from traffic import MODEL, Request, requests
from truth import Figures, Truth, check, counted, listed

VERSION = "cut"
PREDICTIONS = 120
LABELS = "/v1/labels"
"""Answered by the store itself."""
LOGS = ("*.wal", "journal/*.journal")


@dataclass(frozen=True)
class Cut:
    """The files of a running collector, and how much of their logs was acknowledged when."""

    directory: Path
    sent: Sequence[Request]
    """In order; each was acknowledged before the next was sent."""
    lengths: Sequence[dict[str, int]]
    """Of each log by its name, when each was acknowledged; those that there were."""

    def copied(self, directory: Path, acknowledged: int, tail: str, rng: random.Random) -> Path:
        """What the disk holds if the logs end at an acknowledgement, and one has a tail."""
        shutil.copytree(self.directory, directory)
        logs = _logs(directory)
        torn = rng.choice(sorted(logs))
        for name, path in logs.items():
            log, length = path.read_bytes(), self.lengths[acknowledged].get(name, 0)
            behind = TAILS[tail](rng, log[length:]) if name == torn else b""
            if length or behind:
                path.write_bytes(log[:length] + behind)
            else:
                path.unlink()
        return directory


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Cut:
    """One sender's requests one after the other, and the files as they are then."""
    directory = tmp_path_factory.mktemp("power")
    data = directory / "data"
    sent = requests(random.Random(SEED), VERSION, "s", PREDICTIONS, time.time_ns())
    lengths = []
    with running(data) as collector:
        with closing(OverHttp(collector.otlp_http, collector.api, PATIENT_SECONDS)) as way:
            for request in sent:
                way.send(request)
                lengths.append(_log_lengths(data))
        copied = directory / "copied"
        shutil.copytree(data, copied)
    for name, last in lengths[-1].items():
        grown = [each.get(name, 0) for each in lengths]
        assert grown == sorted(grown), f"{name} was begun anew after {last} bytes: send less"
    return Cut(copied, sent, lengths)


def _logs(data: Path) -> dict[str, Path]:
    return {path.name: path for pattern in LOGS for path in data.glob(pattern)}


def _log_lengths(data: Path) -> dict[str, int]:
    return {name: path.stat().st_size for name, path in _logs(data).items()}


def _part(rng: random.Random, rest: bytes) -> bytes:
    return rest[: rng.randrange(len(rest))] if rest else b""


TAILS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "nothing": lambda rng, rest: b"",
    "a part of it": _part,
    "zeros": lambda rng, rest: bytes(rng.randrange(1, 8_192)),
    "a part, and zeros": lambda rng, rest: _part(rng, rest).ljust(len(rest), b"\0"),
    "a part, and noise": lambda rng, rest: (
        _part(rng, rest) + rng.randbytes(rng.randrange(1, 4_096))
    ),
}
"""What may stand behind what was synced: nothing, a part, zeros, what was there before."""


def test_nothing_acknowledged_is_lost_with_the_tail_of_the_log(cut: Cut, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    for number in range(max(2, ROUNDS // 10)):
        acknowledged = rng.randrange(len(cut.sent) - 1)
        for tail in TAILS:
            data = cut.copied(tmp_path / f"{number} {tail}", acknowledged, tail, rng)
            with running(data) as collector:
                _check_acknowledged(collector, cut, acknowledged)
                # Whoever was not answered sends again, and some who were.
                again = cut.sent[max(0, acknowledged - 2) :]
                ledger = Ledger()
                ledger.acknowledge(r for request in cut.sent for r in request.records)
                run_all([Sender(OverHttp(collector.otlp_http, collector.api), again, ledger)])
                check(collector.api, MODEL, ledger.rows(VERSION), VERSION)


def _check_acknowledged(collector: Running, cut: Cut, acknowledged: int) -> None:
    """What is there is what the first requests say: all of those acknowledged, or a few more.

    The store's log may hold any that follow, in their order; the journal those that go by it.
    """
    found = listed(collector.api, MODEL, version=VERSION)
    assert counted(collector.api, MODEL, version=VERSION) == Figures.of(found)
    first, rest = cut.sent[: acknowledged + 1], cut.sent[acknowledged + 1 :]
    kept = [request for request in rest if request.path != LABELS]
    possible = []
    for more in (rest, kept):
        truth = Truth()
        for number, request in enumerate([*first, *more]):
            for record in request.records:
                truth.add(record)
            if number >= acknowledged:
                possible.append(truth.rows())
    assert found in possible
