"""What a slim record costs: bytes on the wire, packing, and memory; and that drops are counted.

wire      bytes a prediction of the whole OTLP request, at 2,048 (a full record), 1,024 and 20
predictions a flush, plain and gzipped, from calls made through the decorator at sample_ratio=0
packing   CPU time a prediction to pack rows into columns, and to encode the request, divided by
that of encoding the same predictions as full spans
overflow  8 threads append to a buffer that nothing drains: packed + lost must equal appended
memory    what full buffers hold, of calls with ids, slices and features of their own
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import inferspan
from inferspan import delivery, providers, records, semconv
from inferspan.record_columns import Row, pack

FLUSHES: Final = (records.FLUSH_CALLS, 1_024, 20)
WIRE_MAX: Final = 60
"""Bytes a prediction that a slim record may cost, without features."""
THREADS: Final = 8
APPENDED: Final = 8_000
"""By each thread; all together more than fit."""
RECORD_CALLS: Final = 1_024
ROUNDS: Final = 15
OPTIONS: Final[dict[str, Any]] = {
    "model": "fraud",
    "version": "7",
    "task": "binary_classification",
    "positive": "fraud",
}

CONTENT: Final[dict[str, Any]] = {"slices": ["country"], "features": ["amount", "age"]}


class Kept(SpanExporter):
    """Keeps spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


class Undrained(records.RecordBuffer):
    """A buffer without the thread that empties it."""

    def _start(self) -> None:
        return


def answers(count: int, narrow: bool) -> list[dict[str, Any]]:
    """Random answers; scores as float32 has them, or float64."""
    chance = np.random.default_rng(0)
    scores = chance.random(count)
    if narrow:
        scores = scores.astype("float32").astype(float)
    return [{"label": "fraud" if s > 0.5 else "legit", "score": float(s)} for s in scores]


def requests_of(
    calls: int, narrow: bool = False, own_ids: bool = False, slices: bool = False
) -> list[bytes]:
    """The OTLP requests of one flush of slim records."""
    options = dict(OPTIONS, sample_ratio=0.0)
    if own_ids:
        options["prediction_id"] = "order_id"
    if slices:
        options["slices"] = ["country", "channel"]
    said = iter(answers(calls, narrow))
    number = iter(range(calls))

    @inferspan.predict(**options)
    def score(order_id: str, country: str, channel: str) -> dict[str, Any]:
        return next(said)

    def call() -> object:
        at = next(number)
        return score(f"order-{at:08d}", ("DE", "FR", "IT")[at % 3], ("web", "app")[at % 2])

    return sent(call, calls)


def sent(call: Callable[[], object], calls: int) -> list[bytes]:
    """The OTLP requests of the slim records of so many calls."""
    kept, provider = Kept(), TracerProvider(shutdown_on_exit=False)
    restore = providers.divert(provider, lambda: kept)
    try:
        for _ in range(calls):
            call()
        inferspan.flush()
    finally:
        restore()
    predictions = sum((span.attributes or {})[semconv.RECORD_COUNT] for span in kept.spans)  # type: ignore[misc]
    assert predictions == calls, f"{predictions} of {calls} predictions arrived"
    return [encode_spans([span]).SerializeToString() for span in kept.spans]


def probable_requests(calls: int, classes: int, narrow: bool) -> list[bytes]:
    """The same of a model of several classes that answers with the probabilities of all."""
    matrix = np.random.default_rng(0).dirichlet(np.ones(classes), calls)
    said = iter(matrix.astype("float32") if narrow else matrix)
    options = dict(OPTIONS, task="multiclass_classification", sample_ratio=0.0)
    del options["positive"]

    @inferspan.predict(**options, classes=[f"class {number}" for number in range(classes)])
    def score() -> np.ndarray:
        return next(said)[None]

    return sent(score, calls)


def one_flush(calls: int, **options: Any) -> bytes:
    """One request; the packing thread's second may end in between, then once more."""
    make = probable_requests if "classes" in options else requests_of
    while len(requests := make(calls, **options)) != 1:
        pass
    return requests[0]


def wire() -> None:
    print(f"\nwire: bytes a prediction (promised: at most {WIRE_MAX} at 1,024, plain)")
    print(f"  {'':<44}" + "".join(f"{f'{n:,} a flush':>14}{'gzip':>8}" for n in FLUSHES))
    for name, options in (
        ("id minted, score float64", {}),
        ("id minted, score float32", {"narrow": True}),
        ("id minted, score float64, two slices", {"slices": True}),
        ("id minted, score float32, two slices", {"narrow": True, "slices": True}),
        ("own text ids of 14 bytes, score float64", {"own_ids": True}),
        *(
            (f"{n} probabilities of float{32 if narrow else 64}", {"classes": n, "narrow": narrow})
            for n in (3, 10)
            for narrow in (True, False)
        ),
    ):
        cells = []
        for calls in FLUSHES:
            request = one_flush(calls, **options)
            cells += [
                f"{len(request) / calls:>14.1f}",
                f"{len(gzip.compress(request)) / calls:>8.1f}",
            ]
        print(f"  {name:<44}{''.join(cells)}", flush=True)


def rows_of(calls: int, **more: Any) -> list[Row]:
    """Calls as their threads leave them, with ids of their own."""
    said = iter(answers(calls, narrow=False))

    @inferspan.predict(**OPTIONS, sample_ratio=0.0, prediction_id="order_id", **more)
    def score(order_id: str, country: str, amount: float, age: float) -> dict[str, Any]:
        return next(said)

    buffer, records._buffer = records._buffer, Undrained()  # type: ignore[misc]
    restore = providers.divert(TracerProvider(shutdown_on_exit=False), Kept)
    try:
        for number in range(calls):
            country = ("DE", "FR", "IT")[number % 3]
            score(f"order-{number:08d}", country, number * 1.01, number * 0.37)
        return list(records._buffer._take())
    finally:
        records._buffer = buffer  # type: ignore[misc]
        restore()


def full_spans(calls: int) -> list[ReadableSpan]:
    """The same as full spans."""
    kept, provider = Kept(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    restore = providers.divert(provider, Kept)
    try:
        score = inferspan.predict(**OPTIONS)(lambda: {"label": "fraud", "score": 0.93})
        for _ in range(calls):
            score()
    finally:
        restore()
    return kept.spans


def packing() -> None:
    full = full_spans(RECORD_CALLS)
    print(f"\npacking: CPU µs a call, {RECORD_CALLS:,} calls a record; beside encoding full spans")
    for name, rows in (
        ("ids, class and score", rows_of(RECORD_CALLS)),
        ("with a slice and two features", rows_of(RECORD_CALLS, **CONTENT)),
    ):
        packed, encoded, ratios = [], [], []
        for _ in range(ROUNDS):
            begun = time.process_time_ns()
            pack(rows, None)
            after = time.process_time_ns()
            encode_spans(full).SerializeToString()
            ended = time.process_time_ns()
            packed.append((after - begun) / RECORD_CALLS / 1e3)
            encoded.append((ended - after) / RECORD_CALLS / 1e3)
            ratios.append((after - begun) / (ended - after))
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        print(
            f"  {name:<32} packed {statistics.median(packed):6.2f}, "
            f"span encoded {statistics.median(encoded):6.2f}: "
            f"{middle:.3f} ×  ({low:.3f} – {high:.3f})"
        )


def overflow() -> None:
    buffer, rows = Undrained(), rows_of(64)

    def append() -> None:
        for number in range(APPENDED):
            buffer.append(rows[number % len(rows)])

    threads = [threading.Thread(target=append) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken, lost = sum(1 for _ in buffer._take()), buffer.lost
    appended, places = THREADS * APPENDED, records.CALLS_WAITING_MAX
    print(f"\noverflow: {THREADS} threads × {APPENDED:,} calls into {places:,} places")
    print(f"  packed {taken:,} + counted as lost {lost:,} = {taken + lost:,} of {appended:,}")
    if taken + lost != appended:
        raise SystemExit("calls are missing from the account")


def memory() -> None:
    calls = records.CALLS_WAITING_MAX
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    rows = rows_of(calls, **CONTENT)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    request = one_flush(RECORD_CALLS, own_ids=True, slices=True)
    record = len(request) * records.FLUSH_CALLS / RECORD_CALLS
    queue, mib = delivery.RECORDS_WAITING_MAX, 2**20
    print("\nmemory: what full buffers hold")
    print(f"  {len(rows):,} calls to pack: {held / mib:.1f} MiB, {held / calls:,.0f} B each")
    print(
        f"  {queue:,} records to send: {queue * record / mib:.1f} MiB, "
        f"{queue * records.FLUSH_CALLS:,} predictions"
    )


SECTIONS = {"wire": wire, "packing": packing, "overflow": overflow, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "section", nargs="*", choices=[[], *SECTIONS], help="which to run; none named = all"
    )
    for name in parser.parse_args().section or SECTIONS:
        SECTIONS[name]()


if __name__ == "__main__":
    main()
