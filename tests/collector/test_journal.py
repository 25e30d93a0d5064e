"""The journal: what it acknowledged is there after any end of its process, once and unchanged."""

from __future__ import annotations

import dataclasses
import random
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import Label, Prediction, Stage, decoded
from typer.testing import CliRunner

from inferspan_collector.batches import (
    Decoded,
    LabelBatch,
    PredictionBatch,
    StageBatch,
    Strings,
    Texts,
)
from inferspan_collector.cli.store import app
from inferspan_collector.config import load
from inferspan_collector.journal import journal as files
from inferspan_collector.journal import packing, segment
from inferspan_collector.journal.journal import DIRECTORY, Journal, JournalError
from inferspan_collector.journal.packing import Batches
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.store.database import Database
from inferspan_collector.store.writer import Writer
from inferspan_collector.telemetry import Telemetry

TEXTS = st.none() | st.text("aé€\x00", min_size=1, max_size=3)
PREDICTIONS = st.builds(
    Prediction,
    st.text("abc-é", min_size=1, max_size=5),
    TEXTS,
    span=st.integers(1, 9),
    score=st.floats(),
    version=TEXTS,
    slices=st.dictionaries(st.sampled_from(["country", "tier"]), st.sampled_from("xyz")),
)
LABELS = st.builds(Label, st.text("abc", min_size=1, max_size=3), TEXTS, label_id=st.just("l"))
STAGES = st.builds(Stage, TEXTS, st.sampled_from([None, "queue"]), span=st.integers(0, 2**64 - 1))
ROWS = st.lists(PREDICTIONS | LABELS | STAGES, max_size=8)


def content(batch: PredictionBatch | LabelBatch | StageBatch) -> dict[str, object]:
    """A batch as plain values, bit by bit, whatever its columns are coded as."""
    found: dict[str, object] = {}
    for field in dataclasses.fields(batch):
        column = getattr(batch, field.name)
        if isinstance(column, dict):
            found[field.name] = {key: value.objects().tolist() for key, value in column.items()}
        elif isinstance(column, np.ndarray):
            found[field.name] = (column.dtype.str, column.shape, column.tobytes())
        else:
            found[field.name] = column.objects().tolist()
    return found


def contents(
    predictions: PredictionBatch, labels: LabelBatch, stages: StageBatch
) -> list[dict[str, object]]:
    """The batches of a record as plain values."""
    return [content(predictions), content(labels), content(stages)]


def parts(*requests: Decoded) -> list[Batches]:
    """What becomes a record each."""
    return [(one.predictions, one.labels, one.stages) for one in requests]


def store_in(data: Path) -> str:
    """Make an empty store; its name."""
    database = Database.open(data)
    name = Writer(database, load(None), Telemetry()).store
    database.close()
    return name


def written(data: Path, requests: Sequence[Decoded], applied: int = 0, store: str = "") -> Journal:
    """A journal with a record for each request, still open."""
    data.mkdir(exist_ok=True)
    opened = Journal.open(data, applied, store)
    for request in requests:
        opened.append(parts(request))
    return opened


def left(data: Path, applied: int = 0) -> list[list[dict[str, object]]]:
    """What a store that has taken over so much still finds."""
    entries = Journal.open(data, applied).left(applied)
    return [contents(e.predictions, e.labels, e.stages) for e in entries]


runner = CliRunner()
REQUESTS = [
    decoded(Prediction(f"p{n}", span=n + 1), Label(f"p{n}"), Stage(owner=n + 1)) for n in range(6)
]
EXPECTED = [contents(each.predictions, each.labels, each.stages) for each in REQUESTS]


@given(ROWS)
def test_rows_come_back_as_they_were(rows: list[Prediction | Label | Stage]) -> None:
    request = decoded(*rows)
    batches = (request.predictions, request.labels, request.stages)
    packed = packing.packed(*batches)
    assert contents(*packing.unpacked(packed, packing.CURRENT)) == contents(*batches)


@pytest.mark.parametrize("values", [0, 1, 254, 255, 256, 65_534, 65_535, 65_600])
def test_dictionaries_of_any_size_come_back(values: int) -> None:
    batch = decoded(*[Prediction(str(n), span=n + 1) for n in range(3)]).predictions
    names = tuple(f"v{n}" for n in range(values))
    codes = np.array([values - 1, -1, min(0, values - 1)], np.int32)
    batch = dataclasses.replace(batch, version=Strings(codes, names))
    packed = packing.packed(batch, LabelBatch.empty(), StageBatch.empty())
    back, _, _ = packing.unpacked(packed, packing.CURRENT)
    assert content(back) == content(batch)


def test_what_the_store_has_not_taken_over_is_found_in_order(tmp_path: Path) -> None:
    written(tmp_path, REQUESTS).close()
    assert left(tmp_path) == EXPECTED
    assert left(tmp_path, applied=4) == EXPECTED[4:]
    assert left(tmp_path, applied=6) == []


def test_sequences_go_on_after_a_restart(tmp_path: Path) -> None:
    written(tmp_path, REQUESTS[:2]).close()
    again = written(tmp_path, REQUESTS[2:4])
    assert again.last == 4
    again.close()
    assert left(tmp_path, applied=1) == EXPECTED[1:4]


@pytest.mark.parametrize("tail", ["nothing", "zeros", "noise"])
def test_a_torn_tail_takes_only_what_was_not_acknowledged(tmp_path: Path, tail: str) -> None:
    rng = random.Random(0)
    written(tmp_path / "whole", REQUESTS).close()
    (path,) = (tmp_path / "whole" / DIRECTORY).iterdir()
    whole = path.read_bytes()
    ends = [record.end for record in segment.read(whole).records]
    for cut in {*rng.sample(range(len(whole)), 60), *ends, *(end - 1 for end in ends)}:
        data = tmp_path / f"{cut}"
        shutil.copytree(tmp_path / "whole", data)
        behind = {"nothing": b"", "zeros": bytes(97), "noise": rng.randbytes(97)}[tail]
        (data / DIRECTORY / path.name).write_bytes(whole[:cut] + behind)
        acknowledged = sum(end <= cut for end in ends)
        assert left(data) == EXPECTED[:acknowledged]
        # And it goes on from there.
        more = written(data, REQUESTS[acknowledged:])
        more.close()
        assert left(data) == EXPECTED


def test_damage_in_the_middle_is_refused_and_names_the_remedy(tmp_path: Path) -> None:
    written(tmp_path, REQUESTS).close()
    (path,) = (tmp_path / DIRECTORY).iterdir()
    whole = path.read_bytes()
    third = segment.read(whole).records[2]
    for place in (third.begin + 3, third.begin - 20, 4):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(JournalError, match="inferspan store repair --data"):
            Journal.open(tmp_path, 0)


def test_a_missing_part_and_an_older_store_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES", 1)
    written(tmp_path, REQUESTS).close()
    first, second, *_ = sorted((tmp_path / DIRECTORY).iterdir())

    assert left(tmp_path) == EXPECTED
    second.unlink()
    with pytest.raises(JournalError, match="a part of the journal is missing"):
        Journal.open(tmp_path, 0)
    assert left(tmp_path, applied=2) == EXPECTED[2:]
    first.unlink()
    with pytest.raises(JournalError, match="or the store is an older copy"):
        Journal.open(tmp_path, 1)


def test_files_are_deleted_once_the_store_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES", 1)
    opened = written(tmp_path, REQUESTS)
    opened.trim(3)
    assert left(tmp_path, applied=3) == EXPECTED[3:]
    held = opened.held_bytes()
    assert held == sum(path.stat().st_size for path in (tmp_path / DIRECTORY).iterdir()) > 0
    opened.renew(6)
    assert [*(tmp_path / DIRECTORY).iterdir()] == []
    assert [entry.sequence for entry in opened.append(parts(REQUESTS[0], REQUESTS[1]))] == [7, 8]


def test_nothing_stays_of_what_was_taken_over_when_it_is_renewed(tmp_path: Path) -> None:
    opened = written(tmp_path, REQUESTS)
    opened.renew(5)
    assert left(tmp_path, applied=5) == EXPECTED[5:]
    opened.renew(6)
    assert [*(tmp_path / DIRECTORY).iterdir()] == []


def test_a_store_that_does_not_know_takes_all_over_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES", 1)
    opened = written(tmp_path, REQUESTS)
    opened.trim(2)
    found = Journal.open(tmp_path, None)
    assert [entry.sequence for entry in found.left(0)] == [3, 4, 5, 6]
    assert found.last == 6


def test_what_a_newer_collector_wrote_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = packing.Layout([*packing.CURRENT.predictions, ("mood", "Strings")], [])
    with monkeypatch.context() as changed:
        changed.setattr(segment, "CURRENT", newer)
        written(tmp_path, REQUESTS).close()
    with pytest.raises(JournalError, match=r"newer collector \(columns mood are not known here\)"):
        Journal.open(tmp_path, 0)


@pytest.mark.parametrize("damaged", ["head", "record", "a record lost"])
def test_a_damaged_journal_is_said_and_what_can_be_read_is_saved(
    tmp_path: Path, damaged: str
) -> None:
    written(tmp_path, REQUESTS, store=store_in(tmp_path)).close()
    (path,) = (tmp_path / DIRECTORY).iterdir()
    whole = path.read_bytes()
    third = segment.read(whole).records[2]
    if damaged == "a record lost":
        path.write_bytes(whole[: third.begin - 24] + whole[third.end :])
    else:
        place = 5 if damaged == "head" else third.begin
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])

    said = runner.invoke(app, ["check", "--data", str(tmp_path)])
    read = len(REQUESTS) - (damaged != "head")
    assert said.exit_code == 1
    assert path.name in said.output
    mended = runner.invoke(app, ["repair", "--data", str(tmp_path)])
    assert mended.exit_code == 1
    assert f"{read} records of it could be read" in mended.output
    assert runner.invoke(app, ["check", "--data", str(tmp_path)]).exit_code == 0
    assert path.with_name(f"{path.name}.before-repair").exists()
    pipeline = Pipeline(Database.open(tmp_path), load(None), Telemetry()).start()
    assert pipeline.reader.prediction_cells(CellQuery()).n.sum() == read
    pipeline.close()


def test_what_an_older_collector_wrote_is_saved_in_its_own_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = ("variant", "response_id")
    older = packing.Layout(
        [column for column in packing.CURRENT.predictions if column[0] not in dropped],
        [column for column in packing.CURRENT.labels if column[0] not in dropped],
        packing.CURRENT.stages,
    )
    Database.open(tmp_path).close()
    with monkeypatch.context() as before:
        before.setattr(segment, "CURRENT", older)
        packed = packing.packed
        before.setattr(packing, "packed", lambda *batches: packed(*batches, older))
        written(tmp_path, REQUESTS).close()
    (path,) = (tmp_path / DIRECTORY).iterdir()
    whole = path.read_bytes()
    place = segment.read(whole).records[2].begin
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])

    mended = runner.invoke(app, ["repair", "--data", str(tmp_path)])
    assert "5 records of it could be read" in mended.output
    assert left(tmp_path) == EXPECTED[:2] + EXPECTED[3:]


def test_bytes_of_another_layout_are_never_taken_for_rows() -> None:
    request = REQUESTS[0]
    packed = packing.packed(request.predictions, request.labels, request.stages)
    for content in (packed[:-1], packed + b"\0", packed[: len(packed) // 2]):
        with pytest.raises(ValueError, match="rows"):
            packing.unpacked(content, packing.CURRENT)


def test_a_file_that_was_copied_is_not_taken_over_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES", 1)
    written(tmp_path, REQUESTS[:3]).close()
    first = min((tmp_path / DIRECTORY).iterdir())
    shutil.copy(first, first.with_name(segment.file_name(99)))
    assert [each.sequence for each in Journal.open(tmp_path, 0).left(0)] == [1, 2, 3]


def test_the_journal_of_another_store_is_refused(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    written(mine, REQUESTS, store=store_in(mine)).close()
    store_in(other)
    shutil.copytree(mine / DIRECTORY, other / DIRECTORY)
    with pytest.raises(JournalError, match="the journal of another store"):
        Pipeline(Database.open(other), load(None), Telemetry())


def test_a_sender_cannot_write_a_record_within_a_record(tmp_path: Path) -> None:
    request = decoded(Prediction("x", span=9))
    packed = packing.packed(request.predictions, request.labels, request.stages)
    forged = segment.record(99, packed, b"\0" * segment.MARK_BYTES)
    sent = decoded(Prediction(forged.hex()))
    bytes_of = sent.predictions.prediction_id
    ids = Texts(np.frombuffer(forged, np.uint8), np.array([0, len(forged)]))
    assert len(ids) == len(bytes_of)
    written(
        tmp_path,
        [
            *REQUESTS[:2],
            Decoded(dataclasses.replace(sent.predictions, prediction_id=ids), sent.labels),
        ],
    ).close()
    (path,) = (tmp_path / DIRECTORY).iterdir()
    whole = path.read_bytes()
    assert forged in whole
    path.write_bytes(whole[:-1])  # a tail torn behind it
    assert left(tmp_path) == EXPECTED[:2]


def test_what_is_written_at_once_is_a_record_each(tmp_path: Path) -> None:
    opened = written(tmp_path, REQUESTS[:1])
    opened.append(parts(*REQUESTS[1:]))
    opened.close()
    assert left(tmp_path) == EXPECTED
    assert left(tmp_path, applied=3) == EXPECTED[3:]


def test_a_fault_of_ours_in_writing_leaves_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = written(tmp_path, REQUESTS[:2])
    with monkeypatch.context() as failing:
        failing.setattr(segment, "record", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            opened.append(parts(REQUESTS[2]))
    for request in REQUESTS[3:]:
        opened.append(parts(request))
    opened.close()
    assert left(tmp_path) == EXPECTED[:2] + EXPECTED[3:]


def test_a_full_disk_leaves_no_files_of_what_was_refused(tmp_path: Path) -> None:
    def append(request: Decoded) -> None:
        opened.append(parts(request))

    opened = written(tmp_path, REQUESTS[:1])
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, room[1]))
    try:
        for request in REQUESTS[1:5]:
            with pytest.raises(OSError, match=r"large|space"):
                append(request)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    append(REQUESTS[5])
    assert len([*(tmp_path / DIRECTORY).iterdir()]) == 2
    opened.close()
    assert left(tmp_path) == [EXPECTED[0], EXPECTED[5]]


def test_files_may_be_deleted_while_what_is_left_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES", 1)
    written(tmp_path, REQUESTS).close()
    opened = Journal.open(tmp_path, 0)
    found = []
    for entry in opened.left(0):
        found.append(contents(entry.predictions, entry.labels, entry.stages))
        opened.trim(entry.sequence)
    assert found == EXPECTED


def test_what_came_since_goes_with_what_was_renewed(tmp_path: Path) -> None:
    opened = written(tmp_path, REQUESTS)
    opened.renew(5)
    opened.append(parts(REQUESTS[0]))
    opened.trim(6)
    assert left(tmp_path, applied=6) == EXPECTED[:1]
    assert len([*(tmp_path / DIRECTORY).iterdir()]) == 1
