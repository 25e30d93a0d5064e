"""Spans per CPU-second of a collector, labels included, beside the stock OpenTelemetry Collector.

Both take the same bytes: predictions as the SDK sends them (15 attributes, 660 bytes), half of them
labelled (450 bytes) shortly after, 512 spans a request, 16 connections. Ours joins, counts and
answers once all is on disk; the peer counts calls and durations in memory (its spanmetrics
connector, three dimensions, flushed every 2 s). CPU-seconds are the operating system's, background
work until 2.5 s after each load included; rounds alternate, and a ratio is taken within a pair.
Afterwards both must have counted every span.

http     protobuf over HTTP, as fast as 16 connections are answered
gzip     the same, compressed
grpc     over gRPC
half     over HTTP, at half of the rate that `http` has reached; acknowledgement times

    python benchmarks/bench_ingest.py --peer [http gzip grpc half]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from ingest import bodies, costs
from ingest.costs import Answers, Round, Stages
from ingest.loads import TURN_SPANS, Labelled, Load, Transport
from ingest.sender import Sender
from ingest.servers import Server, ours, peer

HOUR_NS: Final = 3_600_000_000_000
STEP_NS: Final = 2_500
"""Between two predictions: 400,000 a second."""
HALF: Final = "half"
HALF_SECONDS: Final = 15.0
"""Of the round at half rate: long enough for some checkpoints."""
ROUND_SECONDS: Final = 2.0
"""About what a round of ours takes."""
TRIAL_TURNS: Final = 20
TURNS_MAX: Final = 350
"""Of a round: more than a sender holds ready would be made while it sends."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of sending, and what its ratio should be at least."""

    name: str
    target: float
    transport: Transport = "http"
    gzip: bool = False


VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant("http", 1.5),
        Variant("gzip", 2.0, gzip=True),
        Variant("grpc", 1.0, transport="grpc"),
        Variant(HALF, 1.2),
    )
}


class Comparison:
    """Servers, a sender, and predictions that have not been sent yet.

    Two trials, which are not measured, warm up and say how long a round must be.

    Args:
        servers: ours, and the peer where there is one.
        sender: sends.
    """

    def __init__(self, servers: Sequence[Server], sender: Sender) -> None:
        self._servers = servers
        self._sender = sender
        self._times = bodies.Times(time.time_ns() - HOUR_NS, STEP_NS)
        self._next = 0
        self.sent = 0
        self._sweep(VARIANTS["http"], TRIAL_TURNS)  # warms up
        trial = self._sweep(VARIANTS["http"], TRIAL_TURNS)
        rate = next(one.per_second for one in trial if one.server == servers[0].name)
        self._turns = min(TURNS_MAX, _turns(ROUND_SECONDS, rate))

    def measure(self, variant: Variant, sweeps: int) -> list[Round]:
        """Run rounds as fast as they are answered; the servers alternate."""
        return [
            one for sweep in range(sweeps) for one in self._sweep(variant, self._turns, sweep % 2)
        ]

    def measure_paced(self, variant: Variant, pace: float) -> list[Round]:
        """Run one long round of each server at this pace, spans a second."""
        return self._sweep(variant, _turns(HALF_SECONDS, pace), pace=pace)

    def _sweep(
        self, variant: Variant, turns: int, begin: int = 0, pace: float | None = None
    ) -> list[Round]:
        batches = Labelled(self._next, turns)
        self._next += batches.predictions
        self.sent += batches.spans
        load = Load(batches, self._times, variant.transport, variant.gzip, pace)
        servers = self._servers[::-1] if begin else self._servers
        return [costs.run(server, self._sender, load) for server in servers]


def _turns(seconds: float, rate: float) -> int:
    """How many it takes to last so long at this rate, spans a second."""
    return max(TRIAL_TURNS, round(seconds * rate / TURN_SPANS))


def show(variant: Variant, measured: Sequence[Round], stages: dict[str, float]) -> None:
    """Print what a variant cost."""
    for name in dict.fromkeys(one.server for one in measured):
        mine = [one for one in measured if one.server == name]
        low, half, high = costs.middle([one.per_cpu_second for one in mine])
        wall = float(np.median([one.per_second for one in mine]))
        sending = sum(one.sent.cpu_seconds for one in mine) / sum(one.sent.seconds for one in mine)
        again = sum(one.sent.tried_again for one in mine)
        print(
            f"  {name:<10} {half:>10,.0f} spans/CPU-s ({low:,.0f} – {high:,.0f})  {wall:>9,.0f} "
            f"spans/s   sender {sending:.0%} of a core"
            + (f", {again} tried again" if again else "")
        )
        if variant.name == HALF:
            print(f"  {'':<10} {costs.acknowledgements(Answers.of(mine))}")
    if found := costs.ratios(measured):
        low, half, high = costs.middle(found)
        print(
            f"  ratio      {half:.2f} × ({low:.2f} – {high:.2f}); target ≥ {variant.target} ×: "
            + ("reached" if half >= variant.target else "NOT reached")
        )
    split = ", ".join(f"{stage} {ns:,.0f}" for stage, ns in stages.items())
    print(f"  ns a span  {split}", flush=True)


def check_counts(servers: Sequence[Server], spans: int) -> bool:
    """Whether each has counted what it was sent; prints what each says."""
    right = True
    for server in servers:
        stored = server.stored()
        right &= stored.spans == spans
        line = (
            f"  {server.name:<10} counted {stored.predictions:,} + {stored.labels:,} of {spans:,}"
        )
        if server.api:
            figures = server.quality()
            line += f"; figures of {figures['predictions']:,}, {figures['labeled']:,} labelled"
            right &= figures["predictions"] == stored.predictions
            right &= figures["labeled"] == stored.labels
            line += f"; {server.disk_bytes() / stored.predictions:.1f} bytes on disk a prediction"
        line += f"; memory {server.memory_bytes('VmHWM') / 2**20:,.0f} MiB at most"
        print(line)
    print("  every span was counted once" if right else "  COUNTS DIFFER")
    return right


def main() -> int:
    """Measure the variants asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="*", help=f"of {', '.join(VARIANTS)}; default all")
    parser.add_argument("--peer", action="store_true", help="beside the OpenTelemetry Collector")
    parser.add_argument("--sweeps", type=int, default=5, help="rounds of each variant and server")
    parser.add_argument("--no-pin", action="store_true", help="let servers run on every core")
    arguments = parser.parse_args()
    if unknown := set(arguments.variants) - VARIANTS.keys():
        parser.error(f"no such variant: {', '.join(sorted(unknown))}")
    names = arguments.variants or list(VARIANTS)
    if HALF in names and "http" not in names:
        parser.error("half of what? ask for http too")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pinned = not arguments.no_pin
        servers = [stack.enter_context(ours(directory / "ours", pinned=pinned))]
        if arguments.peer:
            servers.append(stack.enter_context(peer(directory / "peer", pinned)))
        sender = stack.enter_context(Sender())
        comparison = Comparison(servers, sender)
        rate = 0.0
        for name in sorted(names, key=list(VARIANTS).index):
            variant, stages = VARIANTS[name], Stages.begin(servers[0])
            if name == HALF:
                measured = comparison.measure_paced(variant, rate / 2)
            else:
                measured = comparison.measure(variant, arguments.sweeps)
            mine = [one for one in measured if one.server == servers[0].name]
            if name == "http":
                rate = float(np.median([one.per_second for one in mine]))
            spans, used = sum(one.sent.spans for one in mine), sum(one.cpu_seconds for one in mine)
            print(f"\n{name}" + (f" of it, {rate / 2:,.0f} spans/s" if name == HALF else ""))
            show(variant, measured, stages.end(servers[0], spans, used))
        print("\ncounts")
        return 0 if check_counts(servers, comparison.sent) else 1


if __name__ == "__main__":
    sys.exit(main())
