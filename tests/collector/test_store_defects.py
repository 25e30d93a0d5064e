"""Defects of the store: the row to blame is set aside or refused, nobody waits for it for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from poisoned_store import POISON_NS, poison
from records import START_NS, Label, Prediction, Stage, decoded

from inferspan_collector import applying, latency_sketch
from inferspan_collector.config import load
from inferspan_collector.failpoints import ARMED, POINT, SWITCH
from inferspan_collector.journal import packing, segment
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store import repair
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.store.database import Database
from inferspan_collector.submission import Unstorable
from inferspan_collector.telemetry import CONTAINED, SET_ASIDE, Telemetry

DEADLINE_SECONDS = 30.0
PROCESS = Path(__file__).parent / "poisoned_store.py"


def make(directory: Path) -> Pipeline:
    config = load(None, {"limits": {"apply_milliseconds": 10_000}})
    return Pipeline(Database.open(directory), config, Telemetry(), lambda: START_NS).start()


@pytest.fixture
def poisoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A pipeline whose store fails at predictions of one duration."""
    poison(monkeypatch.setattr)
    started = make(tmp_path)
    yield started
    started.close()


def row(name: int, **said: Any) -> Prediction:
    return Prediction(f"order-{name}", span=name + 1, **said)


def bad(name: int, **said: Any) -> Prediction:
    return row(name, duration=POISON_NS, **said)


def keep(pipeline: Pipeline, *rows: Prediction | Label | Stage) -> None:
    pipeline.keep(decoded(*rows), "http").result(DEADLINE_SECONDS)


def counted(pipeline: Pipeline) -> int:
    return int(pipeline.reader.prediction_cells(CellQuery()).n.sum())


def set_aside(directory: Path) -> list[str]:
    """The ids in files of rows that were set aside."""
    ids = []
    for path in sorted((directory / "journal").glob("*.refused")):
        content = path.read_bytes()
        found = segment.read(content)
        for record in found.records:
            rows, _, _ = packing.unpacked(content[record.begin : record.end], found.layout)
            ids += rows.prediction_id.objects().tolist()
    return ids


def test_an_acknowledged_row_at_which_the_store_fails_is_set_aside_alone(
    poisoned: Pipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(poisoned, *map(row, range(3)), bad(3), *map(row, range(4, 7)), Label("order-0"), Stage())
    keep(poisoned, row(7))

    assert counted(poisoned) == 7
    assert poisoned.reader.outcome_cells(CellQuery()).n.tolist() == [1]
    assert set_aside(tmp_path) == ["order-3"]
    assert poisoned._telemetry.get(SET_ASIDE) == 1
    assert poisoned._telemetry.get(CONTAINED, where="writer") > 0
    assert not poisoned.failure.done()
    assert caplog.text.count("Traceback") == 1, "once is enough of what a search meets again"
    assert "ZeroDivisionError" in caplog.text
    poisoned.close()
    # Nor does it come back with the next process.
    again = make(tmp_path)
    assert counted(again) == 7
    assert set_aside(tmp_path) == ["order-3"]
    again.close()


def test_many_of_them_cost_few_files_and_none_is_lost(
    poisoned: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_BLAMED_MAX", 2)
    keep(poisoned, *(bad(n) if n % 2 else row(n) for n in range(24)))
    keep(poisoned, row(24))

    stored, aside = counted(poisoned), set_aside(tmp_path)
    assert stored + len(aside) == 25
    assert {f"order-{n}" for n in range(1, 24, 2)} <= set(aside)
    assert poisoned._telemetry.get(SET_ASIDE) == len(aside)
    assert len([*(tmp_path / "journal").glob("*.refused")]) < 8


def test_of_a_request_that_waits_for_the_store_only_the_row_to_blame_is_refused(
    poisoned: Pipeline,
) -> None:
    request = decoded(
        *(row(n, entity_id="customer-1") for n in range(2)),
        bad(2, entity_id="customer-1"),
        Label(None, entity_id="customer-1", label_id="verdict"),
    )
    for _ in range(2):
        with pytest.raises(Unstorable, match=r"1 of 4 rows .*ZeroDivisionError.* others are"):
            poisoned.keep(request, "http").result(DEADLINE_SECONDS)

        assert counted(poisoned) == 2
        assert poisoned.reader.outcome_cells(CellQuery()).n.tolist() == [2]
    assert poisoned._telemetry.get(SET_ASIDE) == 0, "its sender was told"


def test_where_the_store_takes_no_row_at_all_none_is_to_blame_and_the_next_process_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(latency_sketch, "buckets", lambda durations: {}["nothing"])
        keep(pipeline, *map(row, range(3)))
        assert counted(pipeline) == 0
        assert "KeyError" in pipeline.failure.result(DEADLINE_SECONDS)
        pipeline.close()
    assert set_aside(tmp_path) == []
    again = make(tmp_path)
    assert counted(again) == 3
    again.close()


def test_a_death_while_a_row_is_set_aside_loses_nothing(tmp_path: Path) -> None:
    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(PROCESS), str(tmp_path)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    killed = run(**{SWITCH: ARMED, POINT: "set-aside:1"})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.split() == ["acknowledged"]
    ended = run()
    assert ended.stdout.split() == ["acknowledged", "5"], ended.stderr
    assert set(set_aside(tmp_path)) == {"order-2"}


def test_a_check_names_what_was_set_aside(poisoned: Pipeline, tmp_path: Path) -> None:
    keep(poisoned, row(0), bad(1))
    assert counted(poisoned) == 1
    poisoned.close()

    condition = repair.check(tmp_path)
    (file,) = condition.set_aside
    assert (file.rows, file.fault) == (1, None)
    assert condition.sound, "what is set aside keeps no collector from starting"
