"""What a traced call costs in instructions: the same on a busy machine as on a quiet one.

Each variant runs in a process of its own under `valgrind --tool=callgrind`, which counts what the
caller's thread executes in a loop of calls: all of Python and OpenTelemetry, nothing of the kernel.
The collector of garbage is off and the exporting thread asleep, so a count repeats to 0.1 %. R is
the span written by hand of `bench_call.py`, on the stock SDK in both. Needs valgrind; without it,
the program says so and counts nothing.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import platform
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import Final

import callgrind
import traced_calls as calls
from exporters import Dropping, asleep
from opentelemetry import trace
from rounds import Variant

from inferspan import providers
from inferspan.sampling import RatioSampler, SettableIds

WARMING: Final = 300
"""Calls before the count: Python specialises its code as it runs."""
_EVERYTHING: Final = nullcontext()
UNSAMPLED: Final = "unsampled: "
"""Begins the names of variants under a sampler that takes next to nothing."""
ONLY_THE_LOOP: Final = "--toggle-collect=functools_reduce"
"""Has counted only within this C function, in the thread that is in it; it runs the loop, and
nothing else of ours calls it."""


def variants(sampled: bool) -> dict[str, Variant]:
    """What is counted, by name, through a provider that is installed as users do it."""
    ids, sampler = (None, None) if sampled else (SettableIds(), RatioSampler(0.0))
    provider = asleep(sampler, ids)
    trace.set_tracer_provider(provider)
    # Records go to an exporter that drops them; predictions as users have them.
    providers.divert(None, Dropping)
    found = calls.recorded(provider.get_tracer("bench"))
    return {variant.name: variant for variant in found}


def loop(
    variant: Variant,
    times: int,
    warming: int = WARMING,
    counting: AbstractContextManager[object] = _EVERYTHING,
) -> None:
    """Call a variant; the first calls are not counted, nor is what is outside of `counting`."""

    def step(_: object, arguments: tuple[object, ...]) -> None:
        variant.call(*arguments)

    for _ in range(warming):
        step(None, variant.arguments)
    gc.collect()
    gc.disable()
    with counting:
        functools.reduce(step, [variant.arguments] * times, None)


def counted(name: str, times: int) -> float:
    """Thousands of instructions of one call."""
    command = [__file__, "--calls", str(times), "--child", name]
    return callgrind.instructions(command, os.environ, ONLY_THE_LOOP) / times / 1_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=500, help="calls of a count (default: 500)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.child:
        sampled = not told.child.startswith(UNSAMPLED)
        loop(variants(sampled)[told.child.removeprefix(UNSAMPLED)], told.calls)
        os._exit(0)
    if callgrind.is_missing():
        return
    names = list(variants(sampled=True))
    reference, *others = names
    base = counted(reference, told.calls)
    print(f"Python {platform.python_version()}, OpenTelemetry {version('opentelemetry-sdk')}")
    print(f"  {reference:<44} {base:>8.1f} k instructions")
    for name in [*others, UNSAMPLED + names[2]]:
        count = counted(name, told.calls)
        print(f"  {name:<44} {count:>8.1f} k {count / base:>8.3f} R", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
