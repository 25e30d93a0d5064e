"""Submitting: answered once on disk, refused when full, and one bad request harms no other."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from records import START_NS, Label, Prediction, decoded

from inferspan_collector.batches import Decoded
from inferspan_collector.config import Config, load
from inferspan_collector.driver import Driver
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store.cells import CellQuery, Committed
from inferspan_collector.store.database import Database, StoreError
from inferspan_collector.submission import Overloaded, Unstorable
from inferspan_collector.telemetry import COMMIT_FAILURES, COMMITS, Telemetry

DEADLINE_SECONDS = 30.0


class Held:
    """A clock that the writer must wait for: while held, nothing is committed."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()

    def __call__(self) -> int:
        """Unix ns, once the test lets go."""
        self.reached.set()
        assert self.open.wait(DEADLINE_SECONDS)
        return START_NS


def make(directory: Path, clock: Callable[[], int], **limits: float) -> Pipeline:
    config: Config = load(None, {"limits": dict(limits)})
    return Pipeline(Database.open(directory), config, Telemetry(), clock).start()


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    started = make(tmp_path, lambda: START_NS)
    yield started
    started.close()


def counted(pipeline: Pipeline) -> int:
    return int(pipeline.reader.prediction_cells(CellQuery()).n.sum())


def test_what_was_answered_is_in_the_next_answer(pipeline: Pipeline) -> None:
    answer = pipeline.submit(decoded(Prediction()), "http").result(DEADLINE_SECONDS)

    assert answer == Committed(1, ())
    assert counted(pipeline) == 1


def test_a_request_without_rows_is_answered_at_once(pipeline: Pipeline) -> None:
    assert pipeline.submit(decoded(), "http").result(0) == Committed(0, ())


def test_waiting_requests_share_a_transaction_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    clock = Held()
    pipeline = make(tmp_path, clock)
    first = pipeline.submit(decoded(Prediction()), "http")
    assert clock.reached.wait(DEADLINE_SECONDS)
    waiting = [pipeline.submit(decoded(Label(label_id=f"label-{i}")), "labels") for i in range(20)]
    clock.open.set()

    assert first.result(DEADLINE_SECONDS) == Committed(1, ())
    results = [w.result(DEADLINE_SECONDS).labels for w in waiting]
    assert results.count(("joined",)) == 1
    assert results.count(("superseded",)) == 19
    assert pipeline._telemetry.get(COMMITS) == 2
    pipeline.close()


def test_a_full_queue_refuses_and_says_when_to_come_again(tmp_path: Path) -> None:
    clock = Held()
    pipeline = make(tmp_path, clock, queue_bytes=1024 * 1024)
    large = Decoded(*_batches(Prediction()), size_bytes=700_000)
    writing = pipeline.submit(large, "http")
    assert clock.reached.wait(DEADLINE_SECONDS)
    queued = pipeline.submit(large, "http")

    with pytest.raises(Overloaded, match=r"limits\.queue_bytes is 1048576") as refused:
        pipeline.submit(large, "http")

    assert refused.value.retry_after_seconds >= 1
    clock.open.set()
    assert writing.result(DEADLINE_SECONDS).predictions == 1
    assert queued.result(DEADLINE_SECONDS).predictions == 0
    pipeline.close()


def test_a_request_that_cannot_be_stored_is_refused_alone(tmp_path: Path) -> None:
    clock = Held()
    pipeline = make(tmp_path, clock)
    first = pipeline.submit(decoded(Prediction("a")), "http")
    assert clock.reached.wait(DEADLINE_SECONDS)
    impossible = decoded(Prediction("b", model=None, span=2))  # type: ignore[arg-type]
    bad = pipeline.submit(impossible, "http")
    good = pipeline.submit(decoded(Prediction("c", span=3)), "http")
    clock.open.set()

    assert first.result(DEADLINE_SECONDS).predictions == 1
    with pytest.raises(Unstorable, match="cannot be stored"):
        bad.result(DEADLINE_SECONDS)
    assert good.result(DEADLINE_SECONDS).predictions == 1
    assert pipeline._telemetry.get(COMMIT_FAILURES) >= 1
    assert counted(pipeline) == 2
    pipeline.close()


def test_closing_writes_what_is_queued_and_takes_nothing_more(tmp_path: Path) -> None:
    clock = Held()
    pipeline = make(tmp_path, clock)
    answers = [pipeline.submit(decoded(Prediction(str(i), span=i + 1)), "http") for i in range(9)]
    assert clock.reached.wait(DEADLINE_SECONDS)
    closing = threading.Thread(target=pipeline.close)
    clock.open.set()
    closing.start()
    closing.join(DEADLINE_SECONDS)

    assert sum(a.result(0).predictions for a in answers) == 9
    with pytest.raises(Overloaded, match="shutting down"):
        pipeline.submit(decoded(Prediction("late", span=99)), "http")


def test_a_sender_that_goes_away_does_not_stop_the_writer(pipeline: Pipeline) -> None:
    gone = pipeline.submit(decoded(Prediction("a")), "http")

    assert not gone.cancel()
    assert pipeline.submit(decoded(Prediction("b", span=2)), "http").result(DEADLINE_SECONDS)


def test_a_store_is_opened_by_one_process_only(tmp_path: Path, pipeline: Pipeline) -> None:
    assert pipeline.reader.models() == []
    script = (
        "import sys, pathlib\n"
        "from inferspan_collector.store.database import Database, StoreError\n"
        "try:\n    Database.open(pathlib.Path(sys.argv[1]))\n"
        "except StoreError as error:\n    print(error)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert "in use by another process" in found.stdout
    assert "--data" in found.stdout


def test_a_damaged_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "inferspan.duckdb").write_bytes(b"not a database at all" * 500)

    with pytest.raises(StoreError, match=r"cannot open .*restore a backup"):
        Database.open(tmp_path)


def test_a_driver_goes_on_after_a_fault_and_until_nothing_is_left() -> None:
    left = iter([RuntimeError("refused"), 5, 2, 0])
    done = threading.Event()

    def publish_once() -> int:
        step = next(left, None)
        if step is None or step == 0:
            done.set()
            return 0
        if isinstance(step, Exception):
            raise step
        return step

    driver = Driver(
        publish_once, threading.Event(), "publisher", idle_seconds=60, retry_seconds=0
    ).start()
    assert done.wait(DEADLINE_SECONDS)
    driver.stop()

    assert next(left, None) is None


def _batches(*rows: Prediction | Label) -> tuple[object, object]:
    made = decoded(*rows)
    return made.predictions, made.labels
