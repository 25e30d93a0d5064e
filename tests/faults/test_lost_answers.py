"""Seven of ten answers are lost after the commit: each retry is a duplicate, and counts once."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

from ledger import Ledger
from lossy import Lossy
from metrics import metric
from mortal import mortal
from rounds import ROUNDS, SEED
from senders import OverHttp, Sender, run_all
from traffic import MODEL, requests
from truth import check

SENDERS = 3
PREDICTIONS = 60
DROPPED, HELD = 0.66, 0.04
WAITING_SECONDS = 1.0
"""How long a sender waits for an answer: it must try again while the first try may be under way."""


def test_answers_lost_after_the_commit_make_nothing_count_twice(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    ledger = Ledger()
    fates: Counter[str] = Counter()
    versions = [f"lossy-{number}" for number in range(-(-ROUNDS // 25))]
    with mortal(tmp_path / "data") as collector:
        for version in versions:
            with ExitStack() as stack:
                ways = [
                    stack.enter_context(closing(Lossy(upstream, rng, DROPPED, HELD)))
                    for upstream in (collector.otlp_http, collector.api)
                ]
                senders = [
                    Sender(
                        OverHttp(ways[0].url, ways[1].url, WAITING_SECONDS),
                        requests(rng, version, f"s{n}", PREDICTIONS, time.time_ns()),
                        ledger,
                    )
                    for n in range(SENDERS)
                ]
                run_all(senders)
                for way in ways:
                    fates.update(way.fates)
            check(collector.api, MODEL, ledger.rows(version), version)
        lost = fates["dropped"] + fates["held"]
        assert lost > fates["passed"]
        # They were duplicates, not requests that had never arrived.
        assert metric(collector.api, "inferspan_duplicate_predictions_total", kind="retry") > 0
