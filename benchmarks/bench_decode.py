"""What decoding costs: the collector's two ways beside the protobuf library with an attribute walk.

    python benchmarks/bench_decode.py [predictions] [labels] [foreign] [mapped] [few] [records]

Nothing but decode runs, on one thread, over the same bytes: requests in memory of 512 spans, as
`bench_ingest.py` sends them (prediction spans of some 660 bytes with 15 attributes, label spans of
460 with nine). The peer parses a request with the protobuf library (upb, in C) and puts each span's
attributes into a dict, by type: what a collector in Python does before it has looked at one of
them. It makes no batch and checks nothing; ours makes the checked, columnar batch. Variants
alternate in short rounds in random order; a ratio is taken within one sweep over all of them, and
its median is printed with the middle half. The clock counts the CPU time of the thread.

  predictions  512 ordinary predictions
  labels       512 labels
  foreign      512 spans of another SDK, to be ignored
  mapped       the same beside mappings that do not take them; and 512 spans that one takes
  few          one prediction: what a request costs, however small
  records      a slim record of 1,000 predictions with two slices, which is read by columns

"Record by record" is how the collector reads what is not ordinary, here made to read all.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from bench_records import one_flush
from ingest.bodies import PER_REQUEST, Bodies, Times
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rounds import Measured, Variant, measure, show

from inferspan_collector.config import Config
from inferspan_collector.config.mappings import ready_made_names
from inferspan_collector.decode import Mapper, decode_traces, warm
from inferspan_collector.testing import otlp_span, traces_request

SWEEPS = 60
RECORD_ROWS = 1_000
LIBRARY = "protobuf and attribute walk"
OURS = "ours"
BY_RECORD = "ours, record by record"
NOW_NS = 1_795_000_000_000_000_000
BODIES = Bodies(Times(NOW_NS, 1_000))


def by_library(body: bytes) -> list[dict[str, Any]]:
    """Every span's attributes, by name."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}
        for in_resource in request.resource_spans
        for in_scope in in_resource.scope_spans
        for span in in_scope.spans
    ]


def by_us(body: bytes) -> object:
    """The checked batch."""
    return decode_traces(body, json=False, received_ns=NOW_NS)


def by_record(body: bytes) -> object:
    """The same, each record by itself."""
    return decode_traces(body, json=False, received_ns=NOW_NS, compiled=False)


def compare(title: str, body: bytes, spans: int, rows: int | None = None) -> None:
    """Measure the three ways over one body, and say what a span costs."""
    ways: dict[str, Callable[[bytes], object]] = {
        LIBRARY: by_library,
        OURS: by_us,
        BY_RECORD: by_record,
    }
    variants = [Variant(name, way, (body,), base=LIBRARY) for name, way in ways.items()]
    measured = measure(variants, SWEEPS, clock=time.thread_time_ns)
    show(f"{title}: {spans} spans, {len(body) / spans:,.0f} bytes each", measured)
    for one in measured:
        print(_a_span(one, rows or spans, "row" if rows else "span"))


def _a_span(one: Measured, count: int, unit: str) -> str:
    each = statistics.median(one.microseconds) / count
    faster = 1 / statistics.median(one.ratios)
    return (
        f"  {one.variant.name:<44} {each * 1e3:>9,.0f} ns a {unit}, {1 / each:.3f} M a second; "
        f"{faster:.1f} × as fast as the library"
    )


def numbers(count: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The numbers of some predictions."""
    return np.arange(count, dtype=np.uint64)


def predictions() -> None:
    compare("predictions", BODIES.predictions(numbers(PER_REQUEST)), PER_REQUEST)


def labels() -> None:
    compare("labels", BODIES.labels(numbers(PER_REQUEST)), PER_REQUEST)


def foreign() -> None:
    request = ExportTraceServiceRequest.FromString(BODIES.predictions(numbers(PER_REQUEST)))
    (scope,) = request.resource_spans[0].scope_spans
    scope.scope.name = "opentelemetry.instrumentation.fastapi"
    for span in scope.spans:
        for pair in span.attributes:
            pair.key = pair.key.replace("inferspan.", "http.request.")
    compare("spans of another SDK", request.SerializeToString(), PER_REQUEST)


def mapped() -> None:
    mapper = Mapper(Config.model_validate({"mappings": ready_made_names()}).mappings)
    attributes: dict[str, Any] = {f"http.request.header.h{n}": f"value-{n}" for n in range(14)}
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["stop"],
    }
    for title, added in (("spans that no mapping takes", {}), ("spans of gen_ai", asked)):
        spans = [otlp_span(f"span {n}", attributes | added, kind=3) for n in range(PER_REQUEST)]
        body = traces_request(spans, scope="their.library").SerializeToString()

        def by_mapping(body: bytes) -> object:
            return decode_traces(body, json=False, received_ns=NOW_NS, mapper=mapper)

        ways = {LIBRARY: by_library, "ours, without mappings": by_us, "ours, mapped": by_mapping}
        variants = [Variant(name, way, (body,), base=LIBRARY) for name, way in ways.items()]
        measured = measure(variants, SWEEPS, clock=time.thread_time_ns)
        show(f"{title}: {PER_REQUEST} spans, {len(body) / PER_REQUEST:,.0f} bytes each", measured)
        for one in measured:
            print(_a_span(one, PER_REQUEST, "span"))


def few() -> None:
    compare("one prediction", BODIES.predictions(numbers(1)), 1)


def records() -> None:
    compare("a slim record", one_flush(RECORD_ROWS, slices=True), 1, RECORD_ROWS)


SECTIONS = {each.__name__: each for each in (predictions, labels, foreign, mapped, few, records)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    chosen = parser.parse_args().sections or list(SECTIONS)
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"{', '.join(unknown)}: sections are {', '.join(SECTIONS)}")
    began = time.perf_counter()
    warm()
    print(f"compiled code ready after {time.perf_counter() - began:.2f} s")
    for name in chosen:
        SECTIONS[name]()


if __name__ == "__main__":
    main()
