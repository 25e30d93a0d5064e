"""What a traced call costs beside a span written by hand.

The reference R is `start_as_current_span` with five `set_attribute` calls on OpenTelemetry's SDK,
its tracer at hand, through a batch processor into an exporter that drops everything. All variants
run in one process, in short rounds in random order; a ratio is taken within one sweep over all
of them, and the median over the sweeps is printed with the middle half (p25 – p75). Times are of
this machine; ratios are what to compare.

sections
  recorded   small calls under each option, every span sampled
  shapes     coroutines and generators, beside the same written by hand
  large      large inputs and batches, beside our own small call
  unsampled  roots at ratio 0.01 with their slim records, and calls under an unsampled parent:
             wall time, and CPU time of the caller's thread alone
  process    CPU time of the whole process, threads included, with an exporter that encodes OTLP
             and throws it away; each round ends with a flush

With --peers, other SDKs' decorators run on the same function in the same process, as `make
bench-peers` does it (they live in an environment of their own).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import traced_calls as calls
from by_hand import NUMBERS, bare, by_hand
from exporters import Dropping, Encoding
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from rounds import Clock, Variant, measure, show

import inferspan
from inferspan import providers
from inferspan.sampling import RatioSampler, SettableIds

RATIO = 0.01
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter_ns, "thread": time.thread_time_ns}
PROCESS_CALLS = 1_000
"""Calls of a round that ends with a flush: half a batch processor's queue, so that none is lost."""


@dataclass(frozen=True)
class Asked:
    """What the command line asked for."""

    sweeps: int
    clock: Clock
    peers: list[Variant]


def provider_of(exporter: SpanExporter, sampler: Sampler | None = None) -> TracerProvider:
    """A stock provider; with a sampler of ours one as `configure(sample_ratio=…)` builds it."""
    ids = SettableIds() if isinstance(sampler, RatioSampler) else None
    provider = TracerProvider(sampler, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


@contextmanager
def predicting(kind: type[Dropping], sampler: Sampler | None = None) -> Iterator[trace.Tracer]:
    """Send predictions and slim records to exporters of a kind; then say how many arrived."""
    spans, records = kind(), kind()
    provider = provider_of(spans, sampler)
    restore = providers.divert(provider, lambda: records)
    try:
        yield provider.get_tracer("bench")
        inferspan.flush()
        print(f"  ({spans.spans:,} spans and {records.spans:,} slim records were exported)")
    finally:
        restore()
        provider.shutdown()


def recorded(asked: Asked) -> None:
    with predicting(Dropping) as tracer:
        variants = [*calls.recorded(tracer), *asked.peers]
        show(
            "recorded: ten numbers in, label and score out",
            measure(variants, asked.sweeps, asked.clock),
        )


def shapes(asked: Asked) -> None:
    with predicting(Dropping) as tracer:
        show("shapes: what a call may be", measure(calls.shaped(tracer), asked.sweeps, asked.clock))


def large(asked: Asked) -> None:
    with predicting(Dropping):
        show(
            "large: beside a call with ten numbers",
            measure(calls.large(), asked.sweeps, asked.clock),
        )
        if not asked.peers:
            return
        small = [replace(peer, base=peer.name) for peer in asked.peers]
        of_peers = [
            replace(peer, name=f"{peer.name}, {what}", arguments=(data,), base=peer.name)
            for peer in asked.peers
            for what, data in (("1,000 × 1,000", calls.matrix()), ("DataFrame", calls.frame()))
        ]
        show(
            "large: the peers beside their own small call",
            measure([*small, *of_peers], max(5, asked.sweeps // 12)),
        )


def unsampled(asked: Asked) -> None:
    reference = provider_of(Dropping())
    hand = by_hand(reference.get_tracer("bench"))
    sampled = Variant("by hand (R)", hand, (NUMBERS,))
    for what, clock in (("wall time", time.perf_counter_ns), ("caller's CPU", time.thread_time_ns)):
        sampler = RatioSampler(RATIO)
        with predicting(Dropping, sampler) as tracer:
            roots = [
                sampled,
                Variant("by hand, same sampler", by_hand(tracer), (NUMBERS,)),
                Variant("predict with slim record", calls.ours()(bare), (NUMBERS,)),
            ]
            show(f"unsampled: roots at ratio {RATIO}, {what}", measure(roots, asked.sweeps, clock))
            under = [replace(v, call=under_unsampled(v.call)) for v in roots[1:]]
            show(
                f"unsampled: under an unsampled parent, {what}",
                measure([sampled, *under], asked.sweeps, clock),
            )
    reference.shutdown()


def under_unsampled(call: Callable[..., object]) -> Callable[..., object]:
    """The call where the current span is one that is not sampled.

    Attaching it costs some 0.4 µs, which both variants pay.
    """
    parent = TracerProvider(ALWAYS_OFF).get_tracer("bench").start_span("request")
    inside = trace.set_span_in_context(parent, context.Context())

    def called(*arguments: object) -> object:
        token = context.attach(inside)
        try:
            return call(*arguments)
        finally:
            context.detach(token)

    return called


def process(asked: Asked) -> None:
    sweeps = max(5, asked.sweeps // 4)
    reference = provider_of(Encoding())
    hand = by_hand(reference.get_tracer("bench"))
    sampled = Variant("by hand (R)", hand, (NUMBERS,), after=reference.force_flush)
    for title, sampler in (
        ("every call recorded", None),
        (f"roots at ratio {RATIO}, slim records", RatioSampler(RATIO)),
    ):
        with predicting(Encoding, sampler) as tracer:
            variants = [sampled] + [
                replace(variant, after=inferspan.flush)
                for variant in calls.recorded(tracer)[1:]
                if variant.name.startswith("predict")
            ]
            show(
                f"process: CPU of all threads with an OTLP encoder, {title}",
                measure(variants, sweeps, time.process_time_ns, PROCESS_CALLS),
            )
    reference.shutdown()


SECTIONS = {
    "recorded": recorded,
    "shapes": shapes,
    "large": large,
    "unsampled": unsampled,
    "process": process,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "section", nargs="*", choices=[[], *SECTIONS], help="which to run; none named = all"
    )
    parser.add_argument("--rounds", type=int, default=121, help="sweeps, at least 5 (default: 121)")
    parser.add_argument("--peers", action="store_true", help="measure other SDKs' decorators too")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="of the first three sections: wall time, or CPU time of the caller's thread, which "
        "other processes disturb less (default: wall)",
    )
    told = parser.parse_args()
    if told.rounds < 5:
        parser.error(f"--rounds {told.rounds}: must be at least 5, or a median says little")
    beside: list[Variant] = []
    if told.peers:
        from peers import decorators

        beside = [
            Variant(name, decorate(bare), (NUMBERS,)) for name, decorate in decorators(Dropping)
        ]
    for name in told.section or SECTIONS:
        SECTIONS[name](Asked(told.rounds, CLOCKS[told.clock], beside))


if __name__ == "__main__":
    main()
