"""Submitting: answered once on disk, refused when full, and one bad request harms no other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from records import START_NS, Label, Prediction, decoded

from inferspan_collector.batches import Decoded, Strings
from inferspan_collector.config import Config, load
from inferspan_collector.driver import Driver
from inferspan_collector.journal import segment
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store.cells import CellQuery, Committed
from inferspan_collector.store.database import Database, StoreError
from inferspan_collector.store.forgetting import ToForget
from inferspan_collector.store.writer import Writer
from inferspan_collector.submission import Overloaded, Unstorable
from inferspan_collector.telemetry import (
    COMMIT_FAILURES,
    COMMITS,
    CONTAINED,
    SET_ASIDE,
    Telemetry,
)
from waiting import wait_until

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


def test_a_request_that_cannot_be_written_down_is_refused_alone_and_for_good(
    tmp_path: Path,
) -> None:
    pipeline = make(tmp_path, lambda: START_NS, group_milliseconds=200)
    good = [decoded(Prediction(f"order-{n}", span=n + 1)) for n in range(3)]
    half_a_pair = Strings.constant("\ud800", 1)
    bad = replace(good[1], predictions=replace(good[1].predictions, operation=half_a_pair))
    kept = [pipeline.keep(request, "http") for request in (good[0], bad, good[2])]

    assert kept[0].result(DEADLINE_SECONDS) is kept[2].result(DEADLINE_SECONDS) is None
    with pytest.raises(Unstorable, match="surrogates not allowed"):
        kept[1].result(DEADLINE_SECONDS)
    assert pipeline._telemetry.get(CONTAINED, where="journal") == 1
    assert counted(pipeline) == 2
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


def test_what_is_kept_is_answered_before_the_store_has_it_and_survives(tmp_path: Path) -> None:
    clock = Held()
    pipeline = make(tmp_path / "data", clock, apply_milliseconds=0)
    pipeline.keep(decoded(Prediction("a"), Label("a")), "http").result(DEADLINE_SECONDS)
    assert clock.reached.wait(DEADLINE_SECONDS)
    pipeline.keep(decoded(Prediction("b", span=2)), "http").result(DEADLINE_SECONDS)
    # As the disk is when the process is killed now.
    shutil.copytree(tmp_path / "data", tmp_path / "killed")
    clock.open.set()

    after = make(tmp_path / "killed", lambda: START_NS)
    for one in (pipeline, after):
        assert counted(one) == 2
        assert one.reader.outcome_cells(CellQuery()).n.tolist() == [1]
        one.close()


def test_a_question_is_answered_with_all_that_was_acknowledged_before_it(tmp_path: Path) -> None:
    pipeline = make(tmp_path, lambda: START_NS, apply_milliseconds=10_000)
    for number in range(1, 4):
        row = decoded(Prediction(str(number), span=number))
        pipeline.keep(row, "http").result(DEADLINE_SECONDS)
        assert pipeline.stored.prediction_cells(CellQuery()).n.sum() == number - 1
        assert counted(pipeline) == number
    pipeline.close()


def test_what_is_kept_is_in_the_store_without_a_question(tmp_path: Path) -> None:
    pipeline = make(tmp_path, lambda: START_NS, apply_milliseconds=1)
    pipeline.keep(decoded(Prediction()), "http").result(DEADLINE_SECONDS)
    stored = pipeline.stored
    wait_until(lambda: stored.prediction_cells(CellQuery()).n.sum() == 1, DEADLINE_SECONDS, "row")
    pipeline.close()


def test_a_row_that_the_store_cannot_take_is_set_aside_alone(tmp_path: Path) -> None:
    pipeline = make(tmp_path, lambda: START_NS, apply_milliseconds=10_000)
    rows = [Prediction(str(n), span=n + 1) for n in range(7)]
    rows[3] = replace(rows[3], model=None)  # type: ignore[arg-type]
    pipeline.keep(decoded(*rows, Label("0")), "http").result(DEADLINE_SECONDS)

    assert counted(pipeline) == 6
    assert pipeline.reader.outcome_cells(CellQuery()).n.tolist() == [1]
    assert pipeline._telemetry.get(SET_ASIDE) == 1
    (kept,) = (tmp_path / "journal").glob("*.refused")
    assert len(segment.read(kept.read_bytes()).records) == 1
    pipeline.close()
    # Nor does it come back.
    again = make(tmp_path, lambda: START_NS)
    assert counted(again) == 6
    again.close()


def test_a_store_that_takes_nothing_does_not_keep_senders_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit(*_: object, **__: object) -> None:
        raise duckdb.IOException("disk full")

    pipeline = make(tmp_path, lambda: START_NS, queue_bytes=1024 * 1024, apply_milliseconds=0)
    with monkeypatch.context() as full:
        full.setattr(Writer, "commit", commit)
        half = Decoded(*_batches(Prediction("a")), size_bytes=600_000)
        pipeline.keep(half, "http").result(DEADLINE_SECONDS)
        # A question is answered with what there is.
        assert counted(pipeline) == 0
        more = Decoded(*_batches(Prediction("b", span=2)), size_bytes=1_000)
        with pytest.raises(Overloaded, match="a store that takes nothing"):
            pipeline.keep(more, "http").result(DEADLINE_SECONDS)
    stored = pipeline.stored
    wait_until(lambda: stored.prediction_cells(CellQuery()).n.sum() == 1, DEADLINE_SECONDS, "row")
    assert pipeline.keep(more, "http").result(DEADLINE_SECONDS) is None
    assert counted(pipeline) == 2
    pipeline.close()


def test_what_goes_by_another_name_is_answered_by_the_store(pipeline: Pipeline) -> None:
    answer = pipeline.keep(decoded(Prediction(entity_id="customer-1")), "http")
    assert answer.result(DEADLINE_SECONDS) == Committed(1, ())


def test_what_is_forgotten_does_not_stay_in_the_journal(tmp_path: Path) -> None:
    pipeline = make(tmp_path, lambda: START_NS)
    pipeline.keep(decoded(Prediction("secret-id")), "http").result(DEADLINE_SECONDS)
    journal = tmp_path / "journal"
    assert any(b"secret-id" in path.read_bytes() for path in journal.iterdir())
    assert pipeline.forget(ToForget("secret-id")).result(DEADLINE_SECONDS).predictions == 1
    assert [*journal.iterdir()] == []
    pipeline.close()


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
