"""A fault of ours or of the disk: the sender keeps its data, and the figures stay right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from records import START_NS, Label, Prediction, decoded
from stores import FaultyDatabase

from inferspan_collector.config import load
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.submission import Overloaded
from inferspan_collector.telemetry import COMMITS, CONTAINED, Counter, Telemetry

DEADLINE_SECONDS = 30.0


class Faulty:
    """A pipeline over such a store."""

    def __init__(self, directory: Path) -> None:
        database = FaultyDatabase.open(directory)
        self.telemetry = Telemetry()
        self.pipeline = Pipeline(database, load(None), self.telemetry, lambda: START_NS).start()
        assert database.writer is not None
        self.faults = database.writer.faults

    def submit(self, *rows: Prediction | Label) -> int:
        return self.pipeline.submit(decoded(*rows), "http").result(DEADLINE_SECONDS).predictions

    def counted(self) -> int:
        return int(self.pipeline.reader.prediction_cells(CellQuery()).n.sum())


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    made = Faulty(tmp_path)
    yield made
    made.pipeline.close()


@pytest.mark.parametrize(
    "fault",
    [duckdb.IOException("disk full"), duckdb.OutOfMemoryException("none left"), MemoryError()],
)
@pytest.mark.parametrize("at", ["INSERT INTO predictions", "INSERT INTO outcomes", "COMMIT"])
def test_a_passing_fault_sends_the_sender_away_and_counts_nothing(
    faulty: Faulty, fault: Exception, at: str
) -> None:
    faulty.faults[at] = [fault]
    with pytest.raises(Overloaded, match="send this again"):
        faulty.submit(Prediction(), Label())
    assert faulty.counted() == 0

    assert faulty.submit(Prediction(), Label()) == 1
    assert faulty.counted() == 1


def test_a_commit_that_fails_after_it_was_written_repeats_no_row_number(faulty: Faulty) -> None:
    faulty.faults["after COMMIT"] = [duckdb.IOException("no answer from the disk")]
    with pytest.raises(Overloaded):
        faulty.submit(Prediction("a"), Label("a"))

    faulty.submit(Prediction("b", span=2), Label("b", "legit", "label-2"))
    faulty.submit(Prediction("a"), Label("a"))

    reader = faulty.pipeline.reader
    assert faulty.counted() == 2
    assert [row.prediction_id for row in reader.predictions("fraud", outcome="correct")] == ["a"]
    assert [row.prediction_id for row in reader.predictions("fraud", outcome="incorrect")] == ["b"]


def test_a_fault_while_recovering_corrupts_no_numbering(faulty: Faulty) -> None:
    faulty.submit(Prediction("a"))
    faulty.faults["INSERT INTO predictions"] = [duckdb.IOException("disk full")]
    faulty.faults["FROM series"] = [duckdb.OutOfMemoryException("none left")]
    for _ in range(2):
        with pytest.raises(Overloaded):
            faulty.submit(Prediction("b", model="churn", span=2))

    faulty.submit(Prediction("b", model="churn", span=2), Prediction("c", span=3))

    found = faulty.pipeline.reader.prediction_cells(CellQuery(by=("model",)))
    assert dict(zip(found.groups, found.n.tolist(), strict=True)) == {("fraud",): 2, ("churn",): 1}


def test_a_store_that_has_closed_itself_is_reported_once_and_for_all(faulty: Faulty) -> None:
    assert not faulty.pipeline.failure.done()
    faulty.faults["COMMIT"] = [duckdb.FatalException("database has been invalidated")]
    with pytest.raises(Overloaded):
        faulty.submit(Prediction())

    assert faulty.pipeline.failure.result(DEADLINE_SECONDS) == "database has been invalidated"


def test_what_cannot_be_counted_after_the_commit_is_acknowledged_all_the_same(
    faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = faulty.telemetry.add

    def broken(counter: Counter, n: int = 1, **labels: str) -> None:
        if counter is COMMITS:
            raise RuntimeError("no counter")
        add(counter, n, **labels)

    monkeypatch.setattr(faulty.telemetry, "add", broken)

    assert faulty.submit(Prediction()) == 1
    assert faulty.counted() == 1
    assert faulty.telemetry.get(CONTAINED, where="after_commit") == 1
