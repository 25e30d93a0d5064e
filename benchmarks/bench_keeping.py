"""What keeping and forgetting costs those who send meanwhile: acknowledgement times, side by side.

A store of some million predictions, received evenly over the last 90 days, takes requests of 512
predictions from two senders without a pause: while it does nothing else (`alone`), while half of
its rows leave by age (`age`), while a backup is written (`backup`), and while an id is forgotten
and the file's free blocks are overwritten (`forget`). The promise is that nothing here holds a
request back for more than a second; the ratio is to the 99th percentile of `alone`. What is left is
then erased with nobody sending, for the time of each step.

    python benchmarks/bench_keeping.py [--rows 3000000]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch, Strings, Texts
from inferspan_collector.config import load
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store.database import Database
from inferspan_collector.store.forgetting import ToForget
from inferspan_collector.store.writer import Writer
from inferspan_collector.telemetry import ERASED, Telemetry

ROWS: Final = 3_000_000
REQUEST_ROWS: Final = 512
DAY_NS: Final = 86_400_000_000_000
ALONE_SECONDS: Final = 15.0
WAIT_SECONDS: Final = 180.0


class Clock:
    """The time of day, and what was added to it."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now_ns(self) -> int:
        """Unix ns."""
        return time.time_ns() + self.ahead_ns


def predictions(first: int, rows: int, now_ns: int) -> Decoded:
    """A request of predictions with ids that follow from a number."""
    numbers = np.arange(first, first + rows, dtype=np.uint64)

    def same(text: str | None) -> Strings:
        return Strings.constant(text, rows)

    nothing = np.full(rows, np.nan)
    return Decoded(
        PredictionBatch(
            environment=same("prod"),
            service=same("fraud-api"),
            model=same("fraud"),
            version=same("7"),
            variant=same(None),
            operation=same("predict"),
            task=same("binary_classification"),
            positive_class=same("fraud"),
            prediction_id=Texts.of(f"order-{n}" for n in numbers.tolist()),
            index=np.zeros(rows, np.int32),
            span_row=np.zeros(rows, np.int32),
            trace=np.stack([numbers * 7 + 1, numbers * 11 + 1], axis=1),
            span=numbers * 13 + 1,
            kind=np.ones(rows, np.int8),
            event_time=np.full(rows, now_ns),
            start_time=np.full(rows, now_ns),
            duration=np.full(rows, 5_000_000, np.int64),
            received=np.full(rows, now_ns),
            error_type=same(None),
            predicted=same("fraud"),
            score=np.linspace(0, 1, rows),
            value=nothing,
            adjusted_count=np.ones(rows),
        ),
        LabelBatch.empty(),
    )


def fill(directory: Path, rows: int, now_ns: int) -> None:
    """Leave a store of so many rows, the oldest 90 days old: one written, the rest copied."""
    database = Database.open(directory)
    start = now_ns - 90 * DAY_NS
    Writer(database, load(None), Telemetry()).commit([predictions(0, 1, start)], start)
    with database.cursor() as cursor:
        columns = ", ".join(
            _copied(name, kind, 90 * DAY_NS // rows)
            for name, kind in cursor.execute(
                "SELECT column_name, data_type FROM duckdb_columns()"
                " WHERE table_name = 'predictions' ORDER BY column_index"
            ).fetchall()
        )
        cursor.execute("CREATE TEMP TABLE one AS SELECT * FROM predictions")
        for first in range(1, rows, 1_000_000):
            last = min(first + 1_000_000, rows)
            cursor.execute(
                f"INSERT INTO predictions SELECT {columns} FROM one, range({first}, {last}) AS r(i)"
            )
            cursor.execute("CHECKPOINT")
    database.close()


def _copied(name: str, kind: str, apart_ns: int) -> str:
    if name == "row_id":
        return "row_id + i"
    if name in ("received", "event_time"):
        return f"{name} + i * {apart_ns}"
    if kind == "UBIGINT" and name != "identity":
        return f"hash(i, '{name}')"
    return "md5(i::VARCHAR)" if name == "prediction_id" else name


class Senders:
    """Two threads that send without a pause; acknowledgement times in seconds."""

    def __init__(self, pipeline: Pipeline, clock: Clock) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._next = 10**9
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.seconds: list[float] = []

    @contextmanager
    def sending(self) -> Iterator[list[float]]:
        """Send during the block; its times."""
        self._stopping.clear()
        self.seconds = []
        threads = [threading.Thread(target=self._send) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield self.seconds
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _send(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                first = self._next
                self._next += REQUEST_ROWS
            decoded = predictions(first, REQUEST_ROWS, self._clock.now_ns())
            start = time.perf_counter()
            self._pipeline.submit(decoded, "http").result(WAIT_SECONDS)
            self.seconds.append(time.perf_counter() - start)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the writer does beside the senders."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def scrubbed(database: Database) -> bool:
    """Whether free blocks were overwritten."""
    with database.cursor() as cursor:
        return cursor.execute("SELECT scrub_due FROM kept").fetchall() == [(False,)]


def let_time_pass(database: Database, now_ns: int) -> None:
    """Have ages looked at now: a clock that jumped would have to wait for a day."""
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM looks")
        cursor.execute("INSERT INTO looks VALUES (?, 0)", [now_ns])


def steps(directory: Path, now_ns: int) -> list[float]:
    """Do all that age asks for with nobody sending: seconds of each step."""
    database = Database.open(directory)
    let_time_pass(database, now_ns)
    writer = Writer(database, load(None), Telemetry())
    seconds = []
    while writer.tidying_due(now_ns):
        start = time.perf_counter()
        writer.tidy(now_ns)
        seconds.append(time.perf_counter() - start)
    database.close()
    return seconds


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args().rows
    clock = Clock()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        fill(directory / "data", rows, clock.now_ns())
        telemetry = Telemetry()
        database = Database.open(directory / "data")
        pipeline = Pipeline(database, load(None), telemetry, clock.now_ns).start()
        senders = Senders(pipeline, clock)

        def leave() -> None:
            erased = rows // 2
            let_time_pass(database, clock.now_ns() + 45 * DAY_NS)
            clock.ahead_ns = 45 * DAY_NS
            until(lambda: telemetry.get(ERASED, table="predictions", reason="age") >= erased * 0.98)

        def copy() -> None:
            pipeline.backup(directory / "copy")

        def forget() -> None:
            pipeline.forget(ToForget("order-1000000007")).result(WAIT_SECONDS)
            until(lambda: scrubbed(database))

        work: dict[str, Callable[[], None]] = {
            "alone": lambda: time.sleep(ALONE_SECONDS),
            "age": leave,
            "backup": copy,
            "forget": forget,
        }
        print(f"{rows} rows; requests of {REQUEST_ROWS} from 2 senders; milliseconds")
        print(f"{'':8}{'s':>7}{'requests':>10}{'p50':>8}{'p99':>8}{'worst':>8}{'ratio':>7}")
        alone = 0.0
        for name, run in work.items():
            start = time.perf_counter()
            with senders.sending() as seconds:
                run()
            took = time.perf_counter() - start
            p50, p99, worst = (float(np.percentile(seconds, q)) * 1e3 for q in (50, 99, 100))
            alone = alone or p99
            print(
                f"{name:8}{took:7.1f}{len(seconds):10}{p50:8.0f}{p99:8.0f}{worst:8.0f}"
                f"{p99 / alone:7.2f}",
                flush=True,
            )
        pipeline.close()
        took = steps(directory / "data", clock.now_ns() + 46 * DAY_NS)
        print(f"the rest by age, nobody sending: {len(took)} steps, {sum(took):.1f} s in all")
        print(f"longest steps: {', '.join(f'{s * 1e3:.0f} ms' for s in sorted(took)[:-4:-1])}")


if __name__ == "__main__":
    main()
