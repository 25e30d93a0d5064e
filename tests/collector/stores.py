"""A store with one writer, as the pipeline has it; what tests do with one, and sets of records."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import strategies as st
from join_oracle import DAY_NS, Cell
from records import MINUTE_NS, START_NS, Label, Prediction, Stage, decoded

from inferspan_collector.config import Config, load
from inferspan_collector.store.cells import CellQuery, Committed, OutcomeCells, PredictionCells
from inferspan_collector.store.database import Database
from inferspan_collector.store.reader import StoreReader
from inferspan_collector.store.writer import Writer
from inferspan_collector.telemetry import Telemetry

HOUR_NS = 60 * MINUTE_NS
CONFIG = load(
    None,
    {
        "models": {
            "fraud": {
                "targets": {
                    "default": {"sources": ["clicks", "bank"]},
                    "chargeback": {"window": "30d"},
                }
            },
            "price": {"tolerance": 0.5},
            "churn": {"class_aliases": {"1": "yes", "true": "yes", "0": "no"}},
        },
        "jaeger": {"otlp": "http://127.0.0.1:1", "evaluations_per_second": 1_000_000},
    },
)
RANKS = {"clicks": 0, "bank": 1}
WINDOWS = {"chargeback": 30 * DAY_NS}


class Store:
    """An open store with one writer, as the pipeline has it."""

    kind: type[Database] = Database
    looked = -(2**62)
    """Up to when `tidied` did what was due, Unix ns."""

    def __init__(self, directory: Path, config: Config = CONFIG) -> None:
        self.directory = directory
        self.config = config
        self.now = START_NS
        self.open()

    def open(self) -> None:
        """Open it again, as a new process would."""
        self.database = self.kind.open(self.directory)
        self.telemetry = Telemetry()
        self.writer = Writer(self.database, self.config, self.telemetry)
        self.reader = StoreReader(self.database, self.config)

    def commit(self, *requests: tuple[Prediction | Label | Stage, ...]) -> list[Committed]:
        """Commit requests as one group, a second after the one before."""
        self.now += 1_000_000_000
        return self.writer.commit([decoded(*rows) for rows in requests], self.now)

    def cells(self, **query: object) -> Counter[Cell]:
        """Outcome cells by minute."""
        found = self.reader.outcome_cells(CellQuery(every=1, **query))  # type: ignore[arg-type]
        return Counter(
            {
                (int(w), p, a, int(c)): int(n)
                for w, p, a, c, n in zip(
                    found.window,
                    found.predicted.objects(),
                    found.actual.objects(),
                    found.correct,
                    found.n,
                    strict=True,
                )
            }
        )

    def predictions(self, **query: object) -> int:
        """How many predictions count."""
        return int(self.reader.prediction_cells(CellQuery(**query)).n.sum())  # type: ignore[arg-type]


def tidied(store: Store, now_ns: int) -> int:
    """Do all that is due up to a time, which passes and does not jump; how many steps it took."""
    steps = 0
    for at in range(max(store.looked, now_ns - 25 * HOUR_NS) + HOUR_NS, now_ns, HOUR_NS):
        steps += tidied_at(store, at)
    store.looked = now_ns
    return steps + tidied_at(store, now_ns)


def tidied_at(store: Store, now_ns: int) -> int:
    """Do all that is due at a time; how many steps it took."""
    steps = 0
    while store.writer.tidying_due(now_ns):
        steps += store.writer.tidy(now_ns)
    return steps


def rows(store: Store) -> dict[str, int]:
    """Rows of each table of rows."""
    with store.database.cursor() as cursor:
        return {
            table: cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for table in ("predictions", "labels", "outcomes", "waiting_labels")
        }


def figures(store: Store) -> tuple[object, ...]:
    """Figures of whole hours, overall and of a slice."""
    queries = [CellQuery(every=60, by=by) for by in ((), ("version",), ("slice.country",))]
    predictions = [store.reader.prediction_cells(query) for query in queries]
    outcomes = [store.reader.outcome_cells(query) for query in queries]
    return (
        [Counter(_entries(c, c.failed, c.bucket)) for c in predictions],
        [Counter(_entries(c, c.predicted.objects(), c.actual.objects())) for c in outcomes],
    )


def _entries(cells: PredictionCells | OutcomeCells, *columns: Any) -> list[tuple[Any, ...]]:
    return list(zip(cells.groups, cells.window.tolist(), *columns, cells.n.tolist(), strict=True))


class FaultyCursor:
    """A connection that raises at chosen statements, as a full disk or a lack of memory would.

    The last of `faults` comes first; None lets one pass.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        # What is staged is found by its name, here one call further away.
        cursor.execute("SET python_scan_all_frames = true")
        self.faults: dict[str, list[Exception | None]] = {}

    def execute(self, statement: str, *arguments: Any) -> Any:
        for part in self.faults:
            if part in statement:
                self._fail(part)
        return self._cursor.execute(statement, *arguments)

    def commit(self) -> None:
        self._fail("COMMIT")
        self._cursor.commit()
        self._fail("after COMMIT")

    def _fail(self, at: str) -> None:
        faults = self.faults.get(at)
        if faults and (fault := faults.pop()) is not None:
            raise fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class FaultyDatabase(Database):
    """A store whose writer's connection can be made to fail."""

    writer: FaultyCursor | None = None

    def cursor(self) -> duckdb.DuckDBPyConnection:
        if self.writer is None:
            self.writer = FaultyCursor(super().cursor())
            return self.writer  # type: ignore[return-value]
        return super().cursor()


QUERIES = (CellQuery(), CellQuery(by=("slice.country",)), CellQuery(by=("version", "environment")))


def holding(hot_keys: int, cold_keys: int) -> Config:
    """The configuration with an index of so many keys."""
    section = CONFIG.store.model_copy(update={"hot_keys": hot_keys, "cold_keys": cold_keys})
    return CONFIG.model_copy(update={"store": section})


class FaultyStore(Store):
    """A store whose writer's connection can be made to fail."""

    kind = FaultyDatabase

    def fail(self, at: str, *requests: tuple[Prediction | Label, ...]) -> None:
        """Commit requests, and fail there."""
        self.faults[at] = [duckdb.IOException("disk full")]
        with pytest.raises(duckdb.IOException):
            self.commit(*requests)
        self.now -= 1_000_000_000

    @property
    def faults(self) -> dict[str, list[Exception | None]]:
        """What the writer's connection raises next, by a part of the statement."""
        assert isinstance(self.database, FaultyDatabase)
        assert self.database.writer is not None
        return self.database.writer.faults

    def everything(self) -> list[object]:
        """All that anybody is shown."""
        cells = [self.reader.prediction_cells(query) for query in QUERIES]
        rows = [replace(row, slices={}) for row in self.reader.predictions(None, limit=99)]
        arrivals = self.reader.arrivals()
        return [
            self.cells(),
            self.cells(target="chargeback"),
            [Counter(_entries(found, found.failed, found.bucket)) for found in cells],
            self.reader.waiting_labels(2**62),
            sorted(map(repr, rows)),
            (int(arrivals.added.sum()), int(arrivals.retracted.sum())),
        ]


ids = st.sampled_from(["order-1", "order-2", "order-3"])
classes = st.sampled_from(["fraud", "legit", "✓"])
minutes = st.integers(0, 2).map(lambda m: START_NS + m * MINUTE_NS)

predictions = st.builds(
    Prediction,
    prediction_id=ids,
    predicted=classes | st.none(),
    index=st.integers(0, 1),
    task=st.sampled_from(["binary_classification", None]),
    version=st.sampled_from(["7", "8"]),
    environment=st.sampled_from([None, "prod"]),
    kind=st.sampled_from([1, 2, 3]),
    event_time=minutes,
    received=st.sampled_from([0, 0, 40, 100]).map(lambda day: START_NS + day * DAY_NS),
    error_type=st.sampled_from([None, None, None, "ValueError"]),
    slices=st.dictionaries(st.sampled_from(["country", "tier"]), st.sampled_from(["a", "b"])),
)
labels = st.builds(
    Label,
    label_id=st.sampled_from(["label-1", "label-2", "label-3"]),
    prediction_id=ids | st.none(),
    actual=classes,
    index=st.integers(0, 1),
    version=st.sampled_from([None, None, "7"]),
    environment=st.sampled_from([None, None, "prod"]),
    link_trace=st.just(1),
    link_span=st.integers(0, 4),
    target=st.sampled_from(["default", "chargeback"]),
    revision=st.integers(0, 2),
    time=minutes,
    source=st.sampled_from([None, "clicks", "bank"]),
    deleted=st.sampled_from([False, False, False, True]),
).map(lambda label: replace(label, received=label.time + 1 + RECEIVED[label.revision]))
# By what a label says: the same one received twice is a duplicate, and the first time counts.
RECEIVED = {0: 0, 1: 35 * DAY_NS, 2: 120 * DAY_NS}


@st.composite
def record_sets(draw: st.DrawFn) -> list[Prediction | Label]:
    """Records of spans of two rows, which may name the same prediction, and of labels that may
    claim the same id and revision with another content.
    """
    drawn = draw(st.lists(predictions, max_size=8))
    return [
        *(replace(p, span=i // 2 + 1, span_row=i % 2) for i, p in enumerate(drawn)),
        *draw(st.lists(labels, max_size=10)),
    ]
