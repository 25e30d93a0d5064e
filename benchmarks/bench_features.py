"""CPU time and disk a prediction, with 20 numbers and 5 texts as declared features and without.

The whole collector, as a user runs it: the same predictions are sent to two of them over HTTP, 512
spans a request, 16 connections, once with 25 features and once with one, in turn. Half of them are
labelled shortly after; `--unlabelled` leaves the labels out, which is the worse for the ratio.
CPU-seconds are the operating system's, background work until 2.5 s after each load included. A
ratio is taken within a pair of rounds. Promised: 1.6.

    python benchmarks/bench_features.py [--rounds 5] [--unlabelled]
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path
from typing import Final

from ingest import bodies, costs
from ingest.loads import TURN, Batches, Labelled, Load, Unlabelled
from ingest.sender import Sender
from ingest.servers import ours

HOUR_NS: Final = 3_600_000_000_000
STEP_NS: Final = 2_500
TRIAL_TURNS: Final = 20
TURNS: Final = 250
"""Of a round: some 256,000 predictions."""


def main() -> None:
    """Measure, and print what a prediction costs either way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each way, of which the median")
    parser.add_argument("--unlabelled", action="store_true", help="send no labels")
    options = parser.parse_args()
    times = bodies.Times(time.time_ns() - HOUR_NS, STEP_NS)

    def batches(first: int, turns: int) -> Batches:
        if options.unlabelled:
            return Unlabelled(first, turns * TURN // bodies.PER_REQUEST)
        return Labelled(first, turns)

    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {
            features: stack.enter_context(ours(directory / said))
            for features, said in ((False, "without"), (True, "with"))
        }
        sender = stack.enter_context(Sender())
        sent, cost = 0, {False: [0.0], True: [0.0]}
        for number in range(options.rounds + 1):
            some = batches(sent, TURNS if number else TRIAL_TURNS)
            sent += some.predictions
            for features in (False, True) if number % 2 else (True, False):
                load = Load(some, times, features=features)
                used = costs.run(servers[features], sender, load).cpu_seconds
                cost[features].append(used / some.predictions)
        for features, server in servers.items():
            assert server.stored().predictions == sent
            low, half, high = costs.middle([each * 1e6 for each in cost[features][2:]])
            print(
                f"{'with' if features else 'without':8} {half:6.2f} µs ({low:.2f} - {high:.2f})"
                f"  {server.disk_bytes() / sent:6.0f} bytes a prediction"
            )
    pairs = zip(cost[True][2:], cost[False][2:], strict=True)
    low, half, high = costs.middle([more / less for more, less in pairs])
    print(f"ratio    {half:6.2f}    ({low:.2f} - {high:.2f})")


if __name__ == "__main__":
    main()
