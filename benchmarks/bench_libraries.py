"""What a call of an instrumented model costs beside the bare call and beside a span by hand.

For each library that is installed, small models answer for one row. Within a sweep the library is
not instrumented while the bare call and the one with a span written by hand are measured, and is
while ours are; the overhead is what a call takes more than the bare one, and its ratio to that of
the hand-written span (R: `start_as_current_span`, five `set_attribute` calls) is what to compare.
Times are CPU time of the caller's thread; printed is the first quartile over the sweeps. With
`--instructions`, each variant is counted in a process of its own instead, under valgrind: these
counts do not change with what else the machine does.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import bench_instructions
from exporters import Dropping, asleep
from library_models import LIBRARIES, Small
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from rounds import Variant

import inferspan
from inferspan import providers

ROUND_NS: Final = 20_000_000
"""What a round of one variant is to take."""
VARIANTS: Final = ("bare", "by hand", "traced", "unsampled")
TRACED: Final = VARIANTS[2:]


def by_hand(tracer: trace.Tracer, small: Small) -> Callable[[], Any]:
    """The call with a span as people write it."""
    method = small.method

    def answer() -> Any:
        with tracer.start_as_current_span(f"{method} model") as span:
            said = small.call()
            span.set_attribute("model.name", "model")
            span.set_attribute("model.version", "7")
            span.set_attribute("task", "classification")
            span.set_attribute("input.shape", str(getattr(small.given, "shape", "")))
            span.set_attribute("output", str(said[0]))
            return said

    return answer


def measured(call: Callable[[], Any], calls: int) -> float:
    """µs a call."""
    begun = time.thread_time_ns()
    for _ in range(calls):
        call()
    return (time.thread_time_ns() - begun) / calls / 1e3


def sweeps_of(library: str, small: Small, sweeps: int) -> dict[str, list[float]]:
    """µs a call in each sweep, by variant."""
    made, records = asleep(), Dropping()
    unsampled = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    hand = by_hand(made.get_tracer("bench"), small)
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    calls = max(20, int(ROUND_NS / 1e3 / max(measured(hand, 20), 1)))
    chance = random.Random(0)
    for _ in range(sweeps):
        order = list(found)
        chance.shuffle(order)
        for name in order:
            diverted = providers.divert(unsampled if name == "unsampled" else made, lambda: records)
            if name in TRACED:
                inferspan.instrument(library, model="model", version="7")
            call = hand if name == "by hand" else small.call
            measured(call, 20)
            found[name].append(measured(call, calls))
            inferspan.uninstrument()
            diverted()
    made.shutdown()
    unsampled.shutdown()
    return found


def counted_here(library: str, name: str, variant: str, calls: int) -> None:
    """Call one variant in this process, for valgrind to count."""
    small = LIBRARIES[library][name]()
    made = asleep(ALWAYS_OFF if variant == "unsampled" else None)
    providers.divert(made, Dropping)
    if variant in TRACED:
        inferspan.instrument(library, model="model", version="7")
    hand = by_hand(made.get_tracer("bench"), small)
    call = hand if variant == "by hand" else small.call
    bench_instructions.loop(Variant(variant, call), calls)
    os._exit(0)


def instructions_of(library: str, name: str, calls: int) -> dict[str, float]:
    """Thousands of instructions a call, by variant."""
    return {
        variant: bench_instructions.counted([library, name, variant], calls, __file__)
        for variant in VARIANTS
    }


def line(name: str, quiet: dict[str, float]) -> str:
    bare, hand = quiet["bare"], quiet["by hand"]
    over = {variant: (quiet[variant] - bare) / (hand - bare) for variant in quiet}
    return (
        f"  {name:<28} {bare:>9,.1f} {hand:>9,.1f} {quiet['traced']:>9,.1f}"
        f" {quiet['traced'] / hand:>9.2f} × {over['traced']:>9.2f} R {over['unsampled']:>9.2f} R"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=30)
    parser.add_argument("--instructions", action="store_true", help="count them, under valgrind")
    parser.add_argument("--calls", type=int, default=200, help="calls of a count (default: 200)")
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("libraries", nargs="*", default=list(LIBRARIES))
    asked = parser.parse_args()
    # Threads that spin for work would be what is measured.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if asked.child:
        counted_here(*asked.child, asked.calls)
    for library in asked.libraries:
        if importlib.util.find_spec(library) is None:
            print(f"\n{library} is not installed here, so nothing of it is measured")
            continue
        unit = "k instructions" if asked.instructions else "µs"
        print(f"\n{library}: one row, {unit} a call; the whole call and its overhead to by hand")
        print(
            f"  {'':<28} {'bare':>9} {'by hand':>9} {'traced':>9} {'whole':>11} {'overhead':>11}"
            f" {'unsampled':>11}"
        )
        for name, make in LIBRARIES[library].items():
            if asked.only not in name:
                continue
            if asked.instructions:
                found = instructions_of(library, name, asked.calls)
            else:
                # The least disturbed quarter: differences of medians are mostly of what else the
                # machine did.
                times = sweeps_of(library, make(), asked.sweeps)
                found = {v: statistics.quantiles(of, n=4)[0] for v, of in times.items()}
            print(line(name, found), flush=True)


if __name__ == "__main__":
    main()
