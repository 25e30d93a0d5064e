"""Names of classes that a model makes up in each call do not stay in its process."""

from __future__ import annotations

import gc
import tracemalloc

from inferspan import predict
from inferspan.testing import capture_spans

CALLS = 60


def test_names_that_always_change_are_not_kept() -> None:
    @predict(model="ranker", task="multiclass_classification")
    def answer(call: int) -> dict[str, object]:
        names = [f"{call:010}-{number:0100}" for number in range(1_000)]
        return {"probabilities": dict.fromkeys(names, 0.001)}

    tracemalloc.start()
    try:
        with capture_spans() as spans:
            answer(0)
            spans.clear()
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            for call in range(1, CALLS):
                answer(call)
                spans.clear()
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Names of one call take over 100 kB, twice that with their text.
    assert after - before < 1_000_000
