"""A power cut: of the log, what was on disk at the last acknowledgement, and then anything."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
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
LOG = ".wal"


@dataclass(frozen=True)
class Cut:
    """The files of a running collector, and how much of their log was acknowledged when."""

    directory: Path
    sent: Sequence[Request]
    """In order; each was acknowledged before the next was sent."""
    lengths: Sequence[int]
    """Of the log, when each was acknowledged."""

    def copied(self, directory: Path, acknowledged: int, log: bytes) -> Path:
        """What the disk holds if the log up to an acknowledgement is on it, and then `log`."""
        shutil.copytree(self.directory, directory)
        (path,) = (path for path in directory.iterdir() if path.name.endswith(LOG))
        path.write_bytes(path.read_bytes()[: self.lengths[acknowledged]] + log)
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
                lengths.append(_log_length(data))
        copied = directory / "copied"
        shutil.copytree(data, copied)
    assert lengths == sorted(lengths), "a checkpoint began a new log: send less"
    return Cut(copied, sent, lengths)


def _log_length(data: Path) -> int:
    return sum(path.stat().st_size for path in data.iterdir() if path.name.endswith(LOG))


def tails(rng: random.Random, cut: Cut, acknowledged: int) -> list[tuple[str, bytes]]:
    """What may stand behind what was synced: nothing, a part, zeros, what was there before."""
    (path,) = (path for path in cut.directory.iterdir() if path.name.endswith(LOG))
    rest = path.read_bytes()[cut.lengths[acknowledged] :]
    part = rest[: rng.randrange(len(rest))]
    return [
        ("nothing", b""),
        ("a part of it", part),
        ("zeros", bytes(rng.randrange(1, 8_192))),
        ("a part, and zeros", part + bytes(len(rest) - len(part))),
        ("a part, and noise", part + rng.randbytes(rng.randrange(1, 4_096))),
    ]


def test_nothing_acknowledged_is_lost_with_the_tail_of_the_log(cut: Cut, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    for number in range(max(2, ROUNDS // 10)):
        acknowledged = rng.randrange(len(cut.sent) - 1)
        for what, tail in tails(rng, cut, acknowledged):
            data = cut.copied(tmp_path / f"{number} {what}", acknowledged, tail)
            with running(data) as collector:
                _check_acknowledged(collector, cut, acknowledged)
                # Whoever was not answered sends again, and some who were.
                again = cut.sent[max(0, acknowledged - 2) :]
                ledger = Ledger()
                ledger.acknowledge(r for request in cut.sent for r in request.records)
                run_all([Sender(OverHttp(collector.otlp_http, collector.api), again, ledger)])
                check(collector.api, MODEL, ledger.rows(VERSION), VERSION)


def _check_acknowledged(collector: Running, cut: Cut, acknowledged: int) -> None:
    """What is there is what the first requests say: all of those acknowledged, or a few more."""
    found = listed(collector.api, MODEL, version=VERSION)
    assert counted(collector.api, MODEL, version=VERSION) == Figures.of(found)
    truth, possible = Truth(), []
    for number, request in enumerate(cut.sent):
        for record in request.records:
            truth.add(record)
        if number >= acknowledged:
            possible.append(truth.rows())
    assert found in possible
