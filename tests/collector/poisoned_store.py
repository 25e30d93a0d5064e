"""A store with a defect: it fails at predictions of one duration. As a program, a pipeline over one
that takes six predictions, one of them such.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from records import START_NS, Prediction, decoded

from inferspan_collector import failpoints, latency_sketch
from inferspan_collector.config import load
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.store.database import Database
from inferspan_collector.telemetry import Telemetry

POISON_NS = 666


def poison(put: Callable[[Any, str, Any], None]) -> None:
    """Put the defect where the store counts latencies; `put` is `setattr` or the like."""
    sound = latency_sketch.buckets

    def failing(durations: Any) -> Any:
        if (durations == POISON_NS).any():
            raise ZeroDivisionError("poison")
        return sound(durations)

    put(latency_sketch, "buckets", failing)


def main(directory: Path) -> None:
    """Say that they are acknowledged, and how many the store counts."""
    failpoints.arm(os.environ)
    poison(setattr)
    pipeline = Pipeline(Database.open(directory), load(None), Telemetry(), lambda: START_NS).start()
    rows = [
        Prediction(f"order-{n}", span=n + 1, duration=POISON_NS if n == 2 else n) for n in range(6)
    ]
    pipeline.keep(decoded(*rows), "http").result(60)
    print("acknowledged", flush=True)
    print(int(pipeline.reader.prediction_cells(CellQuery()).n.sum()), flush=True)
    pipeline.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
