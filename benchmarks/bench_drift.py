"""A drift pass: every distance and every check of 50 features over 1,440 windows.

Method: 40 numbers and 10 categories, a reference of 20,000 rows in 20 windows and a day of
one-minute windows. `count` puts the day's rows into the frozen bins; `pass` is what the promise of
3 s is about: all figures, their learnt thresholds and their alerts, from counts. Also said: what
is cheaper on one window. CPU time of one thread, the median of a few rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from inferspan_collector.drift.bins import CategoryBins, freeze_categories, freeze_numbers
from inferspan_collector.drift.counts import Counts
from inferspan_collector.drift.passes import Reference, courses

NUMBERS, CATEGORIES, WINDOWS, REFERENCE_ROWS, REFERENCE_WINDOWS = 40, 10, 1_440, 20_000, 20
NAMES = [f"category-{i:02}" for i in range(30)]


def cpu_seconds(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        before = time.thread_time()
        work()
        taken.append(time.thread_time() - before)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the day (100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median (3)")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    minutes = np.sort(rng.integers(0, WINDOWS, options.rows))
    blocks = np.arange(REFERENCE_ROWS) * REFERENCE_WINDOWS // REFERENCE_ROWS
    references, days, counting = [], [], 0.0
    for _ in range(NUMBERS):
        values = rng.lognormal(size=REFERENCE_ROWS)
        bins = freeze_numbers(values)
        assert bins is not None
        before = bins.count(values, blocks, REFERENCE_WINDOWS)
        references.append(Reference(bins, before.together(), before))
        live = rng.lognormal(0.05, size=options.rows)
        started = time.thread_time()
        days.append(bins.count(live, minutes, WINDOWS))
        counting += time.thread_time() - started
    for _ in range(CATEGORIES):
        codes = rng.integers(0, len(NAMES), REFERENCE_ROWS).astype(np.int32)
        kinds = freeze_categories([NAMES[code] for code in codes])
        assert isinstance(kinds, CategoryBins)
        before = kinds.count(codes, NAMES, blocks, REFERENCE_WINDOWS)
        references.append(Reference(kinds, before.together(), before))
        live_codes = rng.integers(0, len(NAMES), options.rows).astype(np.int32)
        started = time.thread_time()
        days.append(kinds.count(live_codes, NAMES, minutes, WINDOWS))
        counting += time.thread_time() - started

    def whole_pass() -> list[object]:
        return [courses(reference, day) for reference, day in zip(references, days, strict=True)]

    def one_window() -> Counts:
        first = days[0].take(np.array([0]))
        courses(references[0], first)
        return first

    features = NUMBERS + CATEGORIES
    each = counting / (options.rows * features) * 1e9
    print(f"count  {counting:6.2f} s for {options.rows:,} rows: {each:.0f} ns a value")
    seconds = cpu_seconds(whole_pass, options.rounds)
    print(f"pass   {seconds:6.2f} s for {features} features × {WINDOWS:,} windows (promised 3)")
    print(f"one    {cpu_seconds(one_window, 20) * 1e3:6.2f} ms for one feature, one window")


if __name__ == "__main__":
    main()
