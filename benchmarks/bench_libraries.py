"""What a call of an instrumented model costs beside the bare call and beside a span by hand.

For each library that is installed, small models answer for one row. Within a sweep the library is
not instrumented while the bare call and the one with a span written by hand are measured, and is
while ours are; the overhead is what a call takes more than the bare one, and its ratio to that of
the hand-written span (R: `start_as_current_span`, five `set_attribute` calls) is what to compare.
A pipeline has a span for each step beside that of the prediction, with what the step made: as many
spans by hand would be as many R, so that the overhead is also divided by the spans. The answer is
written by hand as the attribute it can be: a class, a number, a list of probabilities.

Times are CPU time of the caller's thread; printed is the first quartile over the sweeps. With
`--instructions` they are counted as well, under valgrind, each variant in a child of one process
for each library, so that the library is imported once: a minute or two for each on a machine with
nothing else to do. A count does not change with what else there is. Needs a C compiler, too.
Libraries with environments of their own are measured there:
`.venv-integrations/torch.latest/bin/python benchmarks/bench_libraries.py torch`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import bench_instructions
import callgrind
from exporters import Dropping, asleep
from library_models import LIBRARIES
from one_row import Maker, Small
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from rounds import Variant

import inferspan
from inferspan import providers

ROUND_NS: Final = 20_000_000
"""What a round of one variant is to take."""
VARIANTS: Final = ("bare", "by hand", "traced", "unsampled")
TRACED: Final = VARIANTS[2:]
COUNTING_S: Final = 1_800
"""What the counts of a library may take: some ten minutes where others are at work, too."""
WARMING: Final = 100
"""Calls before those that are counted."""
SWITCH: Final = "BENCH_LIBRARIES_SWITCH"
"""Names, to a process under valgrind, what turns counting on and off."""


def by_hand(tracer: trace.Tracer, small: Small) -> Callable[[], Any]:
    """The call with a span as people write it."""
    method, call, answer_of = small.method, small.call_of(small.model), small.answer

    def answer() -> Any:
        with tracer.start_as_current_span(f"{method} model") as span:
            said = call()
            span.set_attribute("model.name", "model")
            span.set_attribute("model.version", "7")
            span.set_attribute("task", "classification")
            span.set_attribute("input.shape", str(getattr(small.given, "shape", "")))
            span.set_attribute("output", answer_of(said))
            return said

    return answer


def traced(library: str, small: Small) -> Callable[[], Any]:
    """The call, traced from now on: its library, until `uninstrument`, or the object alone."""
    if small.wrapped is not None:
        return small.call_of(small.wrapped())
    inferspan.instrument(library, model="model", version="7")
    return small.call_of(small.model)


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
            bare = hand if name == "by hand" else small.call_of(small.model)
            call = traced(library, small) if name in TRACED else bare
            measured(call, 20)
            found[name].append(measured(call, calls))
            inferspan.uninstrument()
            diverted()
    made.shutdown()
    unsampled.shutdown()
    return found


def spans_of(library: str, small: Small) -> int:
    """How many spans a traced call leaves."""
    ended = Dropping()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ended))
    diverted = providers.divert(provider, Dropping)
    traced(library, small)()
    inferspan.uninstrument()
    diverted()
    return ended.spans


def count_here(library: str, only: str, calls: int) -> None:
    """Call each variant in a child of this process, for valgrind to count; say which was which."""
    importlib.import_module(library)
    for name, make in LIBRARIES[library].items():
        for variant in VARIANTS if only in name else ():
            child = os.fork()
            if not child:
                call_here(library, make(), variant, calls)
            print(child, variant, name, sep="\t", flush=True)
            os.waitpid(child, 0)
    os._exit(0)


def call_here(library: str, small: Small, variant: str, calls: int) -> None:
    """Call one variant, and end this process."""
    made = asleep(ALWAYS_OFF if variant == "unsampled" else None)
    providers.divert(made, Dropping)
    hand = by_hand(made.get_tracer("bench"), small)
    bare = hand if variant == "by hand" else small.call_of(small.model)
    call = traced(library, small) if variant in TRACED else bare
    counting = callgrind.counting(Path(os.environ[SWITCH]))
    bench_instructions.loop(Variant(variant, call), calls, WARMING, counting)
    os._exit(0)


def instructions_of(
    library: str, only: str, calls: int, switch: Path
) -> dict[str, dict[str, float]]:
    """Thousands of instructions a call, by model and variant."""
    arguments = [__file__, "--calls", str(calls), "--only", only, "--child", library]
    counts, said = callgrind.instructions_by_process(
        arguments,
        {**os.environ, SWITCH: str(switch)},
        bench_instructions.ONLY_THE_LOOP,
        callgrind.OFF_AT_START,
        timeout_s=COUNTING_S,
    )
    found: dict[str, dict[str, float]] = {}
    for line in said.splitlines():
        process, variant, name = line.split("\t")
        found.setdefault(name, {})[variant] = counts[int(process)] / calls / 1_000
    return found


def times_of(library: str, small: Small, sweeps: int) -> dict[str, float]:
    """µs a call, by variant."""
    # The least disturbed quarter: differences of medians are mostly of what else the machine did.
    found = sweeps_of(library, small, sweeps)
    return {variant: statistics.quantiles(of, n=4)[0] for variant, of in found.items()}


def line(name: str, quiet: dict[str, float], spans: int) -> str:
    bare, hand = quiet["bare"], quiet["by hand"]
    over = {variant: (quiet[variant] - bare) / (hand - bare) for variant in quiet}
    return (
        f"  {name:<28} {bare:>9,.1f} {hand:>9,.1f} {quiet['traced']:>9,.1f}"
        f" {quiet['traced'] / hand:>9.2f} × {over['traced']:>9.2f} R"
        f" {over['traced'] / spans:>9.2f} R ({spans}) {over['unsampled']:>9.2f} R"
    )


def line_of_layers(layers: int, watched: dict[str, float], before: dict[str, float]) -> str:
    """What a snapshot of a layer costs: the difference to the same model without, by layers."""
    each = (watched["traced"] - before["traced"]) / layers
    idle = (watched["bare"] - before["bare"]) / layers
    hand = before["by hand"] - before["bare"]
    return (
        f"  a watched layer: {each:,.1f}, {each / hand:.2f} R; outside of predictions {idle:,.1f}"
    )


def show(library: str, asked: argparse.Namespace, switch: Path | None) -> None:
    """Print the tables of a library: counts where there is a switch, and times."""
    makers = {name: make for name, make in LIBRARIES[library].items() if asked.only in name}
    if switch is not None:
        counts = instructions_of(library, asked.only, asked.calls, switch)
        table(library, "k instructions", makers, lambda name, small: counts[name])
    table(library, "µs", makers, lambda name, small: times_of(library, small, asked.sweeps))


def table(
    library: str,
    unit: str,
    makers: dict[str, Maker],
    measure: Callable[[str, Small], dict[str, float]],
) -> None:
    print(f"\n{library}: one row, {unit} a call; the whole call, its overhead and that of a span")
    print(
        f"  {'':<28} {'bare':>9} {'by hand':>9} {'traced':>9} {'whole':>11} {'overhead':>11}"
        f" {'a span':>15} {'unsampled':>11}"
    )
    before: dict[str, float] = {}
    for name, make in makers.items():
        small = make()
        found = measure(name, small)
        print(line(name, found, spans_of(library, small)), flush=True)
        if small.layers and before:
            print(line_of_layers(small.layers, found, before))
        before = found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=30)
    parser.add_argument("--instructions", action="store_true", help="count them, under valgrind")
    parser.add_argument("--calls", type=int, default=50, help="calls of a count (default: 50)")
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("libraries", nargs="*", default=list(LIBRARIES))
    asked = parser.parse_args()
    # Threads that spin for work would be what is measured.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if asked.child:
        count_here(asked.child, asked.only, asked.calls)
    with tempfile.TemporaryDirectory() as directory:
        switch = None
        if asked.instructions:
            switch = None if callgrind.is_missing() else callgrind.build_switch(Path(directory))
            if switch is None:
                return
        for library in asked.libraries:
            if importlib.util.find_spec(library) is None:
                print(f"\n{library} is not installed here, so nothing of it is measured")
            else:
                show(library, asked, switch)


if __name__ == "__main__":
    main()
