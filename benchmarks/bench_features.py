"""CPU time and disk a prediction, with 20 numbers and 5 texts as declared features and without.

Method: the same requests of 512 spans are decoded and committed, eight at a time, into a new store,
with features and without in turn; a checkpoint at the end is counted too. What receiving a request
costs is left out, so the ratio is the worse for it. CPU time of the process; the first round, which
compiles, is not counted. Promised: 1.6.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from inferspan import semconv
from inferspan_collector.config import Config
from inferspan_collector.decode import decode_traces
from inferspan_collector.store.database import Database
from inferspan_collector.store.writer import Writer
from inferspan_collector.telemetry import Telemetry
from inferspan_collector.testing import NOW_NS, prediction_span, traces_request

NUMBERS, TEXTS, SPANS, GROUP = 20, 5, 512, 8
NAMES = [f"feature_{i}" for i in range(NUMBERS)]
CATEGORIES = [f"category_{i}" for i in range(TEXTS)]


def names_text(names: list[str]) -> str:
    return "[" + ",".join(f'"{name}"' for name in names) + "]"


def requests(count: int, features: bool) -> list[bytes]:
    rng = np.random.default_rng(0)
    bodies = []
    for first in range(0, count * SPANS, SPANS):
        spans = []
        for number in range(first + 1, first + SPANS + 1):
            attributes = {
                semconv.MODEL_VERSION: "7",
                semconv.TASK_TYPE: semconv.BINARY,
                semconv.OUTPUT_CLASS: "fraud",
                semconv.OUTPUT_SCORE: 0.5,
                semconv.OUTPUT_POSITIVE_CLASS: "fraud",
                semconv.SLICE_PREFIX + "country": "DE",
            }
            if features:
                attributes |= {
                    semconv.FEATURE_NAMES: names_text(NAMES),
                    semconv.FEATURE_DATA: rng.normal(size=NUMBERS).tobytes(),
                    semconv.FEATURE_CATEGORY_NAMES: names_text(CATEGORIES),
                    semconv.FEATURE_CATEGORY_VALUES: [f"v{j}" for j in rng.integers(0, 9, TEXTS)],
                }
            ids = number.to_bytes(16, "big"), number.to_bytes(8, "big")
            spans.append(prediction_span(f"{number:032x}", attributes, ids=ids))
        bodies.append(traces_request(spans).SerializeToString())
    return bodies


def ingested(bodies: list[bytes]) -> tuple[float, float]:
    """(CPU µs, bytes on disk) a prediction."""
    with tempfile.TemporaryDirectory() as directory:
        database = Database.open(Path(directory))
        writer = Writer(database, Config(), Telemetry())
        begun = time.process_time()
        for first in range(0, len(bodies), GROUP):
            some = bodies[first : first + GROUP]
            writer.commit([decode_traces(b, json=False, received_ns=NOW_NS) for b in some], NOW_NS)
        with database.cursor() as cursor:
            cursor.execute("CHECKPOINT")
        took = time.process_time() - begun
        size = sum(path.stat().st_size for path in Path(directory).iterdir())
        database.close()
    rows = len(bodies) * SPANS
    return took / rows * 1e6, size / rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=40, help="of 512 spans each (40)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median (5)")
    options = parser.parse_args()
    bodies = {features: requests(options.requests, features) for features in (False, True)}
    rounds = [
        {features: ingested(some) for features, some in bodies.items()}
        for _ in range(options.rounds + 1)
    ][1:]
    for features, said in ((False, "without"), (True, "with")):
        cpu = statistics.median(each[features][0] for each in rounds)
        print(f"{said:8} {cpu:6.2f} µs  {rounds[0][features][1]:6.0f} bytes a prediction")
    ratio = statistics.median(each[True][0] / each[False][0] for each in rounds)
    print(f"ratio    {ratio:6.2f}")


if __name__ == "__main__":
    main()
