"""A backup is one committed state, written while ingest goes on, and opens as any store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
from records import Label, Prediction, decoded
from stores import CONFIG, Store, figures

from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store.backup import backup
from inferspan_collector.store.cells import CellQuery, Committed
from inferspan_collector.store.database import FILE_NAME, Database, StoreError
from inferspan_collector.store.forgetting import ToForget
from inferspan_collector.telemetry import Telemetry


def test_a_backup_goes_on_where_the_store_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    store.commit((Prediction(slices={"country": "DE"}), Label(), Label("order-9", label_id="w")))
    done = backup(store.database, tmp_path / "copy")
    before = figures(store)
    store.commit((Prediction("after", span=2),))
    store.database.close()

    assert done.path == tmp_path / "copy" / FILE_NAME
    assert (done.predictions, done.labels, done.bytes) == (1, 2, done.path.stat().st_size)
    assert [path.name for path in done.path.parent.iterdir()] == [FILE_NAME]
    restored = Store(tmp_path / "copy")
    assert figures(restored) == before
    again = restored.commit(
        (Prediction(slices={"country": "DE"}), Label()), (Prediction("order-9", span=9),)
    )
    assert again == [Committed(0, ("duplicate",)), Committed(1, ())]
    sequences = [entry.sequence for entry in restored.reader.outbox(10)]
    assert len(set(sequences)) == len(sequences) == 2
    restored.database.close()


def test_a_backup_is_one_state_of_a_store_that_is_written_to(tmp_path: Path) -> None:
    """Each request holds a prediction and its label, so every state has as many of both."""
    pipeline = Pipeline(Database.open(tmp_path / "data"), CONFIG, Telemetry()).start()
    stopping = threading.Event()

    def send() -> None:
        n = 0
        while not stopping.is_set():
            n += 1
            rows = (Prediction(f"o{n}", span=n), Label(f"o{n}", label_id=f"l{n}"))
            pipeline.submit(decoded(*rows), "http").result(30)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        copies = [pipeline.backup(tmp_path / f"copy-{n}") for n in range(3)]
    finally:
        stopping.set()
        sender.join()
    sent = pipeline.reader.prediction_cells(CellQuery()).n.sum()
    pipeline.close()

    for copy in copies:
        assert copy.predictions == copy.labels
        store = Store(copy.path.parent)
        assert store.predictions() == store.cells().total() == copy.predictions <= sent
        store.database.close()


def test_backups_may_follow_each_other_while_ids_are_forgotten(tmp_path: Path) -> None:
    """A transaction that has seen a copy holds it open, and takes no other of its name."""
    pipeline = Pipeline(Database.open(tmp_path / "data"), CONFIG, Telemetry()).start()
    rows = [Prediction(f"o{n}", span=n + 1) for n in range(500)]
    pipeline.submit(decoded(*rows), "http").result(30)
    stopping = threading.Event()

    def forget() -> int:
        n = 0
        while not stopping.is_set():
            assert pipeline.forget(ToForget(f"o{n}")).result(30).predictions == 1
            n += 1
        return n

    with ThreadPoolExecutor(1) as threads:
        forgetting = threads.submit(forget)
        try:
            left = [pipeline.backup(tmp_path / f"copy-{n}").predictions for n in range(6)]
        finally:
            stopping.set()
        assert forgetting.result(30) > 0
    assert left == sorted(left, reverse=True)
    pipeline.close()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    backup(store.database, tmp_path / "copy")
    before = (tmp_path / "copy" / FILE_NAME).read_bytes()

    with pytest.raises(StoreError, match="is there already; name an empty directory"):
        backup(store.database, tmp_path / "copy")
    with pytest.raises(StoreError, match="is there already"):
        backup(store.database, tmp_path / "data")
    assert (tmp_path / "copy" / FILE_NAME).read_bytes() == before
    store.database.close()


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="relative"):
        backup(store.database, Path("copy"))
    with pytest.raises(StoreError, match="cannot write in"):
        backup(store.database, tmp_path / "file" / "copy")
    store.database.close()


def test_a_copy_that_did_not_come_to_its_end_is_in_nobodys_way(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    store.commit((Prediction(),))
    (tmp_path / "copy").mkdir()
    with duckdb.connect(str(tmp_path / "copy" / f"{FILE_NAME}.partial")) as partial:
        partial.execute("CREATE TABLE predictions (half INTEGER)")

    assert backup(store.database, tmp_path / "copy").predictions == 1
    store.database.close()
