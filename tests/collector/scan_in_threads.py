"""Read requests in many threads at once, which all take memory from the same heap.

    MALLOC_ARENA_MAX=1 python tests/collector/scan_in_threads.py

What compiled code writes to after it was given back, another thread has by then: rows come out
wrong, or the process dies. Ends with 0 where each thread reads what a single one reads.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from two_ways import facts

from inferspan import semconv
from inferspan_collector.decode import decode_traces
from inferspan_collector.decode.compiled.records import STATE_WORDS
from inferspan_collector.testing import NOW_NS, label_span, prediction_span, traces_request

THREADS = 8
TIMES = 60
SPANS = 2_000


def bodies() -> list[bytes]:
    """One request of predictions, and one of labels."""
    numbers = range(SPANS)
    predictions = (
        prediction_span(f"p{n}", {semconv.OUTPUT_CLASS: f"c{n % 50}", semconv.OUTPUT_SCORE: 0.5})
        for n in numbers
    )
    labels = (label_span(f"p{n}", {semconv.LABEL_CLASS: f"c{n % 50}"}) for n in numbers)
    return [
        traces_request(predictions).SerializeToString(),
        traces_request(labels, scope=semconv.SCOPE_LABELS).SerializeToString(),
    ]


def main() -> int:
    requests = bodies()
    right = [facts(decode_traces(body, json=False, received_ns=NOW_NS)) for body in requests]
    ended = threading.Event()

    def take_memory() -> None:
        """As any other work beside it does, of the size that reading takes."""
        while not ended.is_set():
            for _ in range(100):
                np.full(STATE_WORDS, -1, np.int64)

    def read(number: int) -> bool:
        body, wanted = requests[number % 2], right[number % 2]
        found = [decode_traces(body, json=False, received_ns=NOW_NS) for _ in range(TIMES)]
        return all(facts(one) == wanted for one in found[:: TIMES // 3])

    taking = [threading.Thread(target=take_memory) for _ in range(2)]
    for thread in taking:
        thread.start()
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            same = all(threads.map(read, range(THREADS)))
    finally:
        ended.set()
        for thread in taking:
            thread.join()
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
