"""`kill -9`, anywhere: what was acknowledged counts once, what was not is sent again.

`FAULT_ROUNDS` says how often it dies (25; `make test-faults`: 200); another `FAULT_SEED` makes
other rounds.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from exporting import Exporting
from ledger import Ledger
from mortal import ACKNOWLEDGED, STARTING, Death, Mortal, mortal
from rounds import ROUNDS, SEED
from senders import OverGrpc, OverHttp, Sender, Transport, finish
from traffic import MODEL, requests
from truth import check, check_stages

from inferspan import semconv
from inferspan_collector.failpoints import NAMES
from servers.recording import Recorder, attributes, recording
from waiting import wait_until

SENDERS = 4
PREDICTIONS = 60
"""Of each sender in each wave."""
EXPORTED = 30
AGAIN = 0.1
WAVES_MAX = 10
"""After so many without a death something stands in its way."""
EVALUATION_SECONDS = 60.0
CONFIGURATION = """
store: {compact_every: 2, hot_keys: 100, cold_keys: 300}
limits: {group_milliseconds: 20}
jaeger: {evaluations_per_second: 1000000}
"""


def deaths(rng: random.Random) -> Iterator[Death]:
    """Every kind in turn, in an order and at a moment that the seed decides."""
    # Rows that cannot be stored are not among what is sent: `test_store_defects` has them.
    ways = [*(name for name in NAMES if name != "set-aside"), ACKNOWLEDGED, ACKNOWLEDGED, STARTING]
    for number in range(ROUNDS):
        if number % len(ways) == 0:
            rng.shuffle(ways)
        match ways[number % len(ways)]:
            case "starting":
                yield Death(STARTING, delay_milliseconds=rng.randrange(200, 2_500))
            case "acknowledged":
                yield Death(ACKNOWLEDGED, rng.randint(1, 40), rng.choice((0, 0, 5, 50)))
            case "between-answers":
                yield Death("between-answers", rng.randint(1, 12), rng.choice((0, 1, 2)))
            case "retention":
                yield Death("retention")  # of the look for old rows that each process begins with
            case name:
                yield Death(name, rng.randint(1, 3), rng.choice((0, 0, 3, 8)))


def wave(collector: Mortal, ledger: Ledger, rng: random.Random, version: str) -> None:
    """Several senders at once, each until all it has is acknowledged."""
    over: list[Transport] = [OverHttp(collector.otlp_http, collector.api) for _ in range(2)]
    over += [OverGrpc(collector.otlp_grpc, collector.api) for _ in range(SENDERS - len(over))]
    senders = [
        Sender(
            transport,
            requests(rng, version, f"s{number}", PREDICTIONS, time.time_ns()),
            ledger,
            AGAIN,
            random.Random(rng.random()),
        )
        for number, transport in enumerate(over)
    ]
    for sender in senders:
        sender.start()
    finish(senders)


def check_all(collector: Mortal, ledger: Ledger, versions: Iterable[str]) -> None:
    """Each version's rows and counts, asked of whichever process answers."""
    for version in versions:
        expected = ledger.rows(version)
        collector.steadily(partial(check, collector.api, MODEL, expected, version))
        stages = ledger.stages(version)
        collector.steadily(partial(check_stages, collector.api, MODEL, stages, version))


def check_evaluations(jaeger: Recorder, ledger: Ledger, versions: Iterable[str]) -> None:
    """Every labelled prediction has an evaluation span that says its truth, at least once."""
    traces = ledger.trace_ids()
    due = {
        (traces[key].hex(), expected)
        for version in versions
        for key, (_, expected) in ledger.rows(version).items()
        if expected is not None
    }
    assert due

    def missing() -> set[tuple[str, str]]:
        told = {
            (span.trace_id.hex(), str(attributes(span.attributes)[semconv.EVALUATION_EXPECTED]))
            for _, span in jaeger.spans()
            if semconv.EVALUATION_EXPECTED in attributes(span.attributes)
        }
        return due - told

    wait_until(lambda: not missing(), EVALUATION_SECONDS, "every evaluation in Jaeger")


def test_whatever_kills_it_what_was_acknowledged_counts_exactly_once(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    ledger = Ledger()
    configuration = tmp_path / "inferspan.yaml"
    configuration.write_text(CONFIGURATION)
    data = tmp_path / "data"
    versions: list[str] = []
    with recording() as jaeger:
        options = ("--config", str(configuration), "--jaeger", jaeger.url)
        with mortal(data, deaths(rng), options) as collector, contextlib.ExitStack() as stack:
            ledger.watcher = collector.acknowledged
            exporting = [
                Exporting.over_http(collector.otlp_http, ledger),
                Exporting.over_grpc(collector.otlp_grpc, ledger),
            ]
            for application in exporting:
                stack.callback(application.close)
            died = waves = 0
            while collector.deaths < ROUNDS:
                waves = waves + 1 if collector.deaths == died else 0
                died = collector.deaths
                assert waves < WAVES_MAX, f"it did not die, as it was to: {collector.death}"
                version = f"wave-{len(versions)}"
                for way, application in enumerate(exporting):
                    exported = f"{version}-exported-{way}"
                    application.predict(rng, exported, EXPORTED, time.time_ns())
                    versions.append(exported)
                wave(collector, ledger, rng, version)
                versions.append(version)
                check_all(collector, ledger, [version])
            for application in exporting:
                application.deliver()
            check_evaluations(jaeger, ledger, versions)
    # And once more as they stand on disk.
    with mortal(data) as collector:
        check_all(collector, ledger, versions)
