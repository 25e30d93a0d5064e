"""How long the API takes for a day of one-minute windows of a model of ten classes, by version and
slice, with 10 million predictions stored.

    python benchmarks/bench_quality_api.py [--repeat 9]

The store holds what ingest would have written: its counters, written by SQL as they are after a
compaction. Prints the best of some repetitions, the time that passed and the CPU time, beside what
it takes to read the cells alone.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / name) for name in ("", "collector")]

from asking import FilledStore, ask  # noqa: E402
from records import START_NS, Label, Prediction  # noqa: E402

from inferspan_collector.cli.serve import YOUNG_OBJECTS  # noqa: E402
from inferspan_collector.publish import api  # noqa: E402
from inferspan_collector.store.cells import CellQuery  # noqa: E402

CLASSES, MINUTES, PREDICTIONS = 10, 1440, 10_000_000
VERSIONS = ("6", "7")
COUNTRIES = ("DE",)
QUESTION = "/api/v1/models/fraud/quality?every=1m&by=version,slice.country"


def filled(directory: Path) -> FilledStore:
    store = FilledStore(directory)
    for number, version in enumerate(VERSIONS):
        about = {
            "version": version, "task": "multiclass_classification", "positive_class": None,
            "slices": {"country": COUNTRIES[0]}, "trace": number + 1, "span": number + 1,
        }  # fmt: skip
        store.add(
            Prediction(f"p-{version}", "c0", **about),  # type: ignore[arg-type]
            Label(f"p-{version}", "c0", f"l-{version}"),
        )
    first = START_NS // 60_000_000_000
    a_cell = PREDICTIONS // (MINUTES * len(VERSIONS) * CLASSES * CLASSES)
    with store.database.cursor() as cursor:
        cursor.execute(
            "DELETE FROM outcome_cells; DELETE FROM prediction_cells; DELETE FROM arrival_cells"
        )
        cursor.execute(
            f"""
            INSERT INTO outcome_cells
            SELECT m, series_id, 'default', k.key, k.value, 'c' || p, 'c' || a,
                (p = a)::TINYINT, {a_cell} + (p = a)::INT * 20
            FROM range({first}, {first + MINUTES}) AS minutes(m), series,
                range({CLASSES}) AS predicted(p), range({CLASSES}) AS actual(a),
                (VALUES ('', ''), ('country', 'DE')) AS k(key, value)
            ORDER BY m
            """
        )
        cursor.execute(
            """
            INSERT INTO arrival_cells
            SELECT series_id, target, predicted, actual, correct, sum(n), 0
            FROM outcome_cells WHERE slice_key = '' GROUP BY ALL
            """
        )
        cursor.execute(
            f"""
            INSERT INTO prediction_cells
            SELECT m, series_id, k.key, k.value, FALSE, 700 + b, {a_cell * CLASSES**2 // 20}
            FROM range({first}, {first + MINUTES}) AS minutes(m), series, range(20) AS buckets(b),
                (VALUES ('', ''), ('country', 'DE')) AS k(key, value)
            ORDER BY m
            """
        )
    return store


def best(repeat: int, act: Callable[[], object]) -> str:
    """The least of each: another program only adds."""
    passed, used = [], []
    for _ in range(repeat):
        began = time.perf_counter(), time.process_time()
        act()
        passed.append(time.perf_counter() - began[0])
        used.append(time.process_time() - began[1])
    return f"{min(passed) * 1e3:5.0f} ms, CPU {min(used) * 1e3:5.0f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = filled(Path(directory))
        # As in a started collector.
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        routes = api.routes(store, store.config)
        answer = ask(routes, QUESTION)
        assert answer.status_code == 200, answer.text[:300]
        print(f"{len(answer.json()['windows'])} windows, {len(answer.content) / 1e6:.1f} MB")
        query = CellQuery(model="fraud", every=1, by=("version", "slice.country"))

        def read() -> None:
            store.reader.outcome_cells(query)
            store.reader.prediction_cells(query)

        print(f"cells read    {best(arguments.repeat, read)}")
        print(f"the API       {best(arguments.repeat, lambda: ask(routes, QUESTION))}")
        if arguments.profile:
            profile = cProfile.Profile()
            profile.runcall(ask, routes, QUESTION)
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
